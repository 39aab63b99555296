"""The store on DynamoDB: tables of items, and a journal shard for each gateway. Layout: docs/format/dynamodb.md."""
