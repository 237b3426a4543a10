//! The embedded DynamoDB: [dynoxide](https://docs.rs/dynoxide-rs) with the table of `template.yaml`.
//!
//! It is reached in two ways that end in the same engine: [`Dynamo::serve`] puts it on a socket for the AWS
//! SDK of another process, [`Dynamo::call`] takes one request of the
//! [DynamoDB API](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html)
//! without one, for deterministic tests.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use dynoxide::{Database, DynoxideError, actions, storage_backend::Clock};
use http::{Response, StatusCode, header::CONTENT_TYPE};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::template::{TableDefinition, TemplateError};

/// What every `X-Amz-Target` of DynamoDB begins with.
const TARGET_PREFIX: &str = "DynamoDB_20120810.";

/// An embedded DynamoDB. Clones share the data.
#[derive(Clone)]
pub struct Dynamo {
    database: Database,
}

/// Why there is no database, or no table in it.
#[derive(Debug, thiserror::Error)]
pub enum DynamoError {
    /// The engine refused or failed.
    #[error("the embedded DynamoDB: {0}")]
    Engine(#[from] DynoxideError),
    /// The template gives no table.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The table's definition is not a request that the engine takes.
    #[error("the table's definition is not a CreateTable request: {0}")]
    Definition(#[from] serde_json::Error),
    /// The engine takes its path as text.
    #[error("the path of the data file is not UTF-8")]
    Path,
    /// The listener failed.
    #[error("the embedded DynamoDB: {0}")]
    Serve(String),
}

/// Whole seconds since 1970, asked for by the engine whenever it needs the time (which item has expired,
/// when a table was made).
pub type Seconds = Arc<dyn Fn() -> u64 + Send + Sync>;

struct HandedIn(Seconds);

impl Clock for HandedIn {
    fn now_unix_secs(&self) -> u64 {
        (self.0)()
    }

    // The engine wants fractions only for streams and imports, which are not used here.
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds since 1970 fit 52 bits for the next 142 million years"
    )]
    fn now_unix_secs_f64(&self) -> f64 {
        (self.0)() as f64
    }
}

impl Dynamo {
    /// Empty, in memory, on the time of day.
    pub fn memory() -> Result<Self, DynamoError> {
        Ok(Self { database: Database::memory()? })
    }

    /// Empty, in memory, on the clock handed in.
    pub fn memory_with_clock(seconds: Seconds) -> Result<Self, DynamoError> {
        Ok(Self { database: Database::memory_with_clock(Arc::new(HandedIn(seconds)))? })
    }

    /// On a file, which is made if there is none and whose content outlives the process, even when it is
    /// killed.
    pub fn file(path: &Path) -> Result<Self, DynamoError> {
        let path = path.to_str().ok_or(DynamoError::Path)?;
        Ok(Self { database: Database::new(path)? })
    }

    /// Makes the state table of `template.yaml` under this name; leaves it alone where it already is, as it
    /// is in a file that was used before.
    pub fn create_state_table(&self, table_name: &str) -> Result<(), DynamoError> {
        self.create_table(&TableDefinition::embedded(table_name)?)
    }

    /// Makes a table, with its expiry attribute; leaves it alone where it already is.
    pub fn create_table(&self, table: &TableDefinition) -> Result<(), DynamoError> {
        let request: actions::create_table::CreateTableRequest =
            serde_json::from_value(table.create.clone())?;
        let name = request.table_name.clone();
        match self.database.create_table(request) {
            Err(DynoxideError::ResourceInUseException(_)) => return Ok(()),
            other => other?,
        };
        if let Some(attribute) = &table.ttl_attribute {
            self.database.update_time_to_live(serde_json::from_value(json!({
                "TableName": name,
                "TimeToLiveSpecification": {"AttributeName": attribute, "Enabled": true},
            }))?)?;
        }
        Ok(())
    }

    /// Answers one request of the DynamoDB API. `target` is the `X-Amz-Target` header, with or without
    /// `DynamoDB_20120810.`; an operation that flexglue does not use answers `UnknownOperationException`.
    ///
    /// Status and error type are those of the engine's own server; texts may differ where a request is so
    /// malformed that no SDK could send it.
    #[must_use]
    pub fn call(&self, target: &str, body: &[u8]) -> Response<Bytes> {
        let db = &self.database;
        let answer = match target.strip_prefix(TARGET_PREFIX).unwrap_or(target) {
            "BatchGetItem" => run(body, |request| db.batch_get_item(request)),
            "BatchWriteItem" => run(body, |request| db.batch_write_item(request)),
            "CreateTable" => run(body, |request| db.create_table(request)),
            "DeleteItem" => run(body, |request| db.delete_item(request)),
            "DeleteTable" => run(body, |request| db.delete_table(request)),
            "DescribeTable" => run(body, |request| db.describe_table(request)),
            "DescribeTimeToLive" => run(body, |request| db.describe_time_to_live(request)),
            "GetItem" => run(body, |request| db.get_item(request)),
            "ListTables" => run(body, |request| db.list_tables(request)),
            "PutItem" => run(body, |request| db.put_item(request)),
            "Query" => run(body, |request| db.query(request)),
            "Scan" => run(body, |request| db.scan(request)),
            "TransactGetItems" => run(body, |request| db.transact_get_items(request)),
            "TransactWriteItems" => run(body, |request| db.transact_write_items(request)),
            "UpdateItem" => run(body, |request| db.update_item(request)),
            "UpdateTimeToLive" => run(body, |request| db.update_time_to_live(request)),
            _ => {
                let body = r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#;
                return json_response(StatusCode::BAD_REQUEST, body.to_owned());
            }
        };
        match answer {
            Ok(body) => json_response(StatusCode::OK, body),
            Err(error) => {
                let status = StatusCode::from_u16(error.status_code());
                json_response(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error.to_json())
            }
        }
    }

    /// Serves the DynamoDB API over HTTP until `shutdown` ends.
    pub async fn serve(
        &self,
        listener: tokio::net::TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), DynamoError> {
        dynoxide::server::serve_with_shutdown(listener, self.database.clone(), shutdown)
            .await
            .map_err(DynamoError::Serve)
    }

    /// Every item of a table as plain JSON: `{"pk": "…", "due_at": 17}` and not `{"pk": {"S": "…"}}`. Numbers
    /// that JSON cannot hold exactly, binaries and sets stay as DynamoDB writes them.
    pub fn items(&self, table: &str) -> Result<Vec<Value>, DynamoError> {
        let mut items = Vec::new();
        let mut start = Value::Null;
        loop {
            let mut request = json!({"TableName": table, "ConsistentRead": true});
            if !start.is_null() {
                request["ExclusiveStartKey"] = start;
            }
            let mut page = serde_json::to_value(self.database.scan(serde_json::from_value(request)?)?)?;
            if let Value::Array(found) = page["Items"].take() {
                items.extend(found.into_iter().map(plain_item));
            }
            start = page["LastEvaluatedKey"].take();
            if start.is_null() {
                return Ok(items);
            }
        }
    }

    /// Deletes what has expired by the clock, as DynamoDB does some time within days; gives how many.
    pub fn forget_expired(&self) -> Result<usize, DynamoError> {
        Ok(self.database.sweep_ttl()?)
    }

    /// The engine itself.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }
}

fn run<Q: DeserializeOwned, A: Serialize>(
    body: &[u8],
    operation: impl FnOnce(Q) -> dynoxide::Result<A>,
) -> dynoxide::Result<String> {
    let request = serde_json::from_slice(body).map_err(|error| refused(&error))?;
    let answer = operation(request)?;
    serde_json::to_string(&answer).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// The engine's request types tell by these words which of DynamoDB's two refusals a body deserves.
fn refused(error: &serde_json::Error) -> DynoxideError {
    let message = error.to_string();
    let validation =
        ["VALIDATION", "missing field", "unknown variant", "invalid type: null", "AttributeValue"];
    if validation.iter().any(|words| message.contains(words)) {
        DynoxideError::ValidationException(message)
    } else {
        DynoxideError::SerializationException(message)
    }
}

fn json_response(status: StatusCode, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/x-amz-json-1.0");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn plain_item(item: Value) -> Value {
    match item {
        Value::Object(attributes) => {
            attributes.into_iter().map(|(name, value)| (name, plain_value(value))).collect()
        }
        other => other,
    }
}

fn plain_value(typed: Value) -> Value {
    let Value::Object(mut by_type) = typed else { return typed };
    let Some((kind, value)) = by_type.iter_mut().next() else { return Value::Object(by_type) };
    match (kind.as_str(), value.take()) {
        ("S" | "BOOL", value) => value,
        ("NULL", _) => Value::Null,
        ("N", Value::String(digits)) => {
            digits.parse::<i64>().map_or_else(|_| json!({"N": digits}), |number| json!(number))
        }
        ("L", Value::Array(values)) => values.into_iter().map(plain_value).collect(),
        ("M", map) => plain_item(map),
        (kind, value) => json!({kind: value}),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn call(dynamo: &Dynamo, target: &str, body: &Value) -> (u16, Value) {
        let response = dynamo.call(target, body.to_string().as_bytes());
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
    }

    fn with_table() -> Dynamo {
        let dynamo = Dynamo::memory().unwrap();
        dynamo.create_state_table("state").unwrap();
        dynamo
    }

    #[test]
    fn the_state_table_is_made_with_its_index_and_its_expiry() {
        let dynamo = with_table();
        let (status, table) =
            call(&dynamo, "DynamoDB_20120810.DescribeTable", &json!({"TableName": "state"}));
        assert_eq!(status, 200);
        assert_eq!(table["Table"]["GlobalSecondaryIndexes"][0]["IndexName"], "due");
        let (_, ttl) = call(&dynamo, "DescribeTimeToLive", &json!({"TableName": "state"}));
        assert_eq!(
            ttl["TimeToLiveDescription"],
            json!({"TimeToLiveStatus": "ENABLED", "AttributeName": "forget_at"})
        );
    }

    #[test]
    fn a_failed_condition_tells_what_was_there() {
        let dynamo = with_table();
        let put = json!({
            "TableName": "state",
            "Item": {"pk": {"S": "conversation#1"}, "sk": {"S": "record"}, "owner": {"S": "a"}},
            "ConditionExpression": "attribute_not_exists(pk)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        });
        assert_eq!(call(&dynamo, "PutItem", &put).0, 200);
        let (status, error) = call(&dynamo, "PutItem", &put);
        assert_eq!(status, 400);
        assert_eq!(error["__type"], "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException");
        assert_eq!(error["Item"]["owner"], json!({"S": "a"}));
    }

    #[test]
    fn what_is_not_an_operation_or_not_a_request_is_refused_as_by_dynamodb() {
        let dynamo = with_table();
        let (status, error) = call(&dynamo, "DynamoDB_20120810.MakeCoffee", &json!({}));
        assert_eq!(
            (status, error["__type"].as_str().unwrap()),
            (400, "com.amazon.coral.service#UnknownOperationException")
        );
        let (status, error) = call(&dynamo, "GetItem", &json!({"TableName": 1, "Key": {}}));
        assert_eq!(
            (status, error["__type"].as_str().unwrap()),
            (400, "com.amazon.coral.service#SerializationException")
        );
        let (status, error) = call(&dynamo, "GetItem", &json!({"TableName": "state", "Key": {"pk": {}}}));
        assert_eq!(
            (status, error["__type"].as_str().unwrap()),
            (400, "com.amazon.coral.validate#ValidationException")
        );
    }

    #[test]
    fn items_read_as_plain_json() {
        let dynamo = with_table();
        let item = json!({
            "pk": {"S": "p"}, "sk": {"S": "s"}, "due_at": {"N": "17"}, "due_shard": {"S": "0"},
            "half": {"N": "0.5"}, "yes": {"BOOL": true}, "none": {"NULL": true},
            "list": {"L": [{"S": "x"}, {"M": {"y": {"N": "2"}}}]}, "set": {"SS": ["z"]},
        });
        assert_eq!(call(&dynamo, "PutItem", &json!({"TableName": "state", "Item": item})).0, 200);
        assert_eq!(
            dynamo.items("state").unwrap(),
            [json!({
                "pk": "p", "sk": "s", "due_at": 17, "due_shard": "0", "half": {"N": "0.5"}, "yes": true,
                "none": null, "list": ["x", {"y": 2}], "set": {"SS": ["z"]},
            })]
        );
    }

    #[test]
    fn expiry_follows_the_clock_that_was_handed_in() {
        let now = Arc::new(AtomicU64::new(1_000_000_000));
        let clock = Arc::clone(&now);
        let dynamo = Dynamo::memory_with_clock(Arc::new(move || clock.load(Ordering::Relaxed))).unwrap();
        dynamo.create_state_table("state").unwrap();
        let item = json!({"pk": {"S": "p"}, "sk": {"S": "s"}, "forget_at": {"N": "1000000060"}});
        call(&dynamo, "PutItem", &json!({"TableName": "state", "Item": item}));

        assert_eq!(dynamo.forget_expired().unwrap(), 0);
        now.fetch_add(61, Ordering::Relaxed);
        assert_eq!(dynamo.forget_expired().unwrap(), 1);
        assert!(dynamo.items("state").unwrap().is_empty());
    }

    #[test]
    fn a_file_keeps_its_items_and_takes_the_table_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let item = json!({"pk": {"S": "p"}, "sk": {"S": "s"}});
        for _ in 0..2 {
            let dynamo = Dynamo::file(&path).unwrap();
            dynamo.create_state_table("state").unwrap();
            call(&dynamo, "PutItem", &json!({"TableName": "state", "Item": item}));
            assert_eq!(dynamo.items("state").unwrap().len(), 1);
        }
    }
}
