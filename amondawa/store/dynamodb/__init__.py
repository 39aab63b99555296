"""The store on DynamoDB: tables of items in the service, a journal shard for each gateway. Layout: docs/format/dynamodb.md."""
