"""The version that this dialect gives itself: the one whose behaviour it has."""

VERSION = "KairosDB 1.3.0-1.20210808220023"
