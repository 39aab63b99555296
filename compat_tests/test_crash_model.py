"""The model that judges crash rounds must itself tell right from wrong."""

from compat_tests.crash_model import CrashModel

A = ("s1", 1_000)
B = ("s1", 2_000)


def settled(value: int) -> CrashModel:
    model = CrashModel()
    model.intend([(A, value)])
    model.acknowledge([(A, value)])
    return model


def test_a_lost_acknowledged_point_is_a_violation():
    assert settled(1).observe({}, crashed=True)


def test_an_acknowledged_point_that_is_there_is_none():
    assert settled(1).observe({A: 1}, crashed=True) == []


def test_a_point_that_was_never_sent_is_a_violation():
    assert settled(1).observe({A: 1, B: 1}, crashed=True)


def test_a_value_that_was_never_sent_is_a_violation():
    assert settled(1).observe({A: 2}, crashed=True)


def test_an_unacknowledged_point_may_be_there_or_not():
    for found in ({}, {A: 1}):
        model = CrashModel()
        model.intend([(A, 1)])
        assert model.observe(found, crashed=True) == []


def test_an_unacknowledged_point_that_was_seen_must_stay():
    model = CrashModel()
    model.intend([(A, 1)])
    assert model.observe({A: 1}, crashed=True) == []
    assert model.observe({}, crashed=True)


def test_an_unacknowledged_point_that_a_crash_lost_must_not_come_back():
    model = CrashModel()
    model.intend([(A, 1)])
    assert model.observe({}, crashed=True) == []
    assert model.observe({A: 1}, crashed=True)


def test_the_old_value_may_not_return_once_an_overwrite_is_acknowledged():
    model = settled(1)
    model.intend([(A, 2)])
    model.acknowledge([(A, 2)])
    assert model.observe({A: 1}, crashed=True)


def test_an_unacknowledged_overwrite_leaves_the_old_or_the_new_value():
    for value in (1, 2):
        model = settled(1)
        model.intend([(A, 2)])
        assert model.observe({A: value}, crashed=True) == []


def test_a_deleted_point_that_comes_back_is_a_violation():
    model = settled(1)
    model.intend([(A, None)])
    model.acknowledge([(A, None)])
    assert model.observe({A: 1}, crashed=True)


def test_a_live_look_settles_what_it_saw_and_keeps_what_came_later_open():
    model = CrashModel()
    model.intend([(A, 1), (A, 2), (A, 3)])
    assert model.observe({A: 2}, crashed=False) == []
    assert model.observe({A: 3}, crashed=False) == []
    assert model.observe({A: 2}, crashed=True)


def test_after_an_orderly_end_everything_sent_must_be_there():
    model = CrashModel()
    model.intend([(A, 1), (B, 2)])
    model.settle()
    assert model.observe({A: 1}, crashed=True)
