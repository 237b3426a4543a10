//! Reads the definition of the state table from the SAM template, so that a local table cannot differ from
//! the deployed one.
//!
//! Every property of the table is either carried over, or known to mean nothing to a local engine, or
//! refused: a property that was dropped in silence would be a difference that no local test can see.

use serde_json::{Map, Value, json};
use serde_norway::Value as Yaml;

/// The template of this repository.
pub const TEMPLATE: &str = include_str!("../../../template.yaml");

/// The logical id of the table in the template.
pub const LOGICAL_ID: &str = "StateTable";

/// Properties that the [CreateTable](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html)
/// request has under the same name and with the same content as
/// [`AWS::DynamoDB::Table`](https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html).
const CARRIED_OVER: [&str; 6] = [
    "AttributeDefinitions",
    "BillingMode",
    "GlobalSecondaryIndexes",
    "KeySchema",
    "LocalSecondaryIndexes",
    "ProvisionedThroughput",
];

/// Properties that change nothing about what reads and writes answer. `TableName` is among them because
/// the caller names the local table, and deletion protection because a local table may go.
const WITHOUT_EFFECT_HERE: [&str; 6] = [
    "DeletionProtectionEnabled",
    "PointInTimeRecoverySpecification",
    "SSESpecification",
    "TableClass",
    "TableName",
    "Tags",
];

/// How to create the state table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDefinition {
    /// The body of a `CreateTable` request.
    pub create: Value,
    /// The attribute that holds an item's expiry, in seconds since 1970, if the table has one.
    pub ttl_attribute: Option<String>,
}

/// Why the template gives no table.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is not YAML.
    #[error("the template is not YAML: {0}")]
    Yaml(#[from] serde_norway::Error),
    /// It has no such table.
    #[error("the template has no {LOGICAL_ID} of type AWS::DynamoDB::Table with Properties")]
    NoTable,
    /// The table has something that no local table could be given.
    #[error("{LOGICAL_ID}: {path}: {reason}")]
    NotUnderstood {
        /// Where in the table's properties, for example `KeySchema[0].KeyType`.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl TableDefinition {
    /// The table of this repository's template, under the name given.
    pub fn embedded(table_name: &str) -> Result<Self, TemplateError> {
        Self::from_template(TEMPLATE, table_name)
    }

    /// The table of a template, under the name given. Tags such as `!Ref` may stand anywhere else in the
    /// template; in the table's properties they are refused, there being no stack to resolve them.
    pub fn from_template(yaml: &str, table_name: &str) -> Result<Self, TemplateError> {
        let template: Yaml = serde_norway::from_str(yaml)?;
        let properties = table_properties(&template).ok_or(TemplateError::NoTable)?;

        let mut create = Map::new();
        create.insert("TableName".to_owned(), json!(table_name));
        let mut ttl_attribute = None;
        for (name, value) in properties {
            let Some(name) = name.as_str() else {
                return Err(not_understood("Properties", "a name that is not text"));
            };
            if CARRIED_OVER.contains(&name) {
                let value = plain(value, name)?;
                check(name, &value, name)?;
                create.insert(name.to_owned(), value);
            } else if name == "TimeToLiveSpecification" {
                ttl_attribute = ttl(&plain(value, name)?)?;
            } else if !WITHOUT_EFFECT_HERE.contains(&name) {
                return Err(not_understood(name, "a property that local tables do not know"));
            }
        }
        Ok(Self { create: Value::Object(create), ttl_attribute })
    }
}

fn table_properties(template: &Yaml) -> Option<&serde_norway::Mapping> {
    let table = template.get("Resources")?.get(LOGICAL_ID)?;
    if table.get("Type")?.as_str()? != "AWS::DynamoDB::Table" {
        return None;
    }
    table.get("Properties")?.as_mapping()
}

fn not_understood(path: impl Into<String>, reason: &'static str) -> TemplateError {
    TemplateError::NotUnderstood { path: path.into(), reason }
}

/// YAML as JSON, where it has no tags, no intrinsic functions in their long form and no names but text.
fn plain(yaml: &Yaml, path: &str) -> Result<Value, TemplateError> {
    match yaml {
        Yaml::Null => Ok(Value::Null),
        Yaml::Bool(value) => Ok(json!(value)),
        Yaml::Number(value) => value
            .as_i64()
            .map(|value| json!(value))
            .ok_or_else(|| not_understood(path, "a number that is not whole")),
        Yaml::String(value) => Ok(json!(value)),
        Yaml::Sequence(values) => values
            .iter()
            .enumerate()
            .map(|(index, value)| plain(value, &format!("{path}[{index}]")))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        Yaml::Mapping(entries) => {
            let mut object = Map::new();
            for (name, value) in entries {
                let name = name.as_str().ok_or_else(|| not_understood(path, "a name that is not text"))?;
                if name == "Ref" || name.starts_with("Fn::") {
                    return Err(not_understood(path, "an intrinsic function, and there is no stack to ask"));
                }
                object.insert(name.to_owned(), plain(value, &format!("{path}.{name}"))?);
            }
            Ok(Value::Object(object))
        }
        Yaml::Tagged(_) => Err(not_understood(path, "an intrinsic function, and there is no stack to ask")),
    }
}

/// The members that an object inside a property may have, by the name of what holds it.
fn members(name: &str) -> &'static [&'static str] {
    match name {
        "AttributeDefinitions" => &["AttributeName", "AttributeType"],
        "KeySchema" => &["AttributeName", "KeyType"],
        "GlobalSecondaryIndexes" => &["IndexName", "KeySchema", "Projection", "ProvisionedThroughput"],
        "LocalSecondaryIndexes" => &["IndexName", "KeySchema", "Projection"],
        "Projection" => &["NonKeyAttributes", "ProjectionType"],
        "ProvisionedThroughput" => &["ReadCapacityUnits", "WriteCapacityUnits"],
        _ => &[],
    }
}

/// Walks a property and refuses any member that the request has no place for: engines skip what they do not
/// know, and a misspelt `KeyType` would be gone.
fn check(name: &str, value: &Value, path: &str) -> Result<(), TemplateError> {
    match value {
        Value::Array(values) => values
            .iter()
            .enumerate()
            .try_for_each(|(index, value)| check(name, value, &format!("{path}[{index}]"))),
        Value::Object(object) => object.iter().try_for_each(|(member, value)| {
            let path = format!("{path}.{member}");
            if members(name).contains(&member.as_str()) {
                check(member, value, &path)
            } else {
                Err(not_understood(path, "a member that local tables do not know"))
            }
        }),
        _ => Ok(()),
    }
}

fn ttl(specification: &Value) -> Result<Option<String>, TemplateError> {
    let path = "TimeToLiveSpecification";
    let members = specification.as_object().ok_or_else(|| not_understood(path, "not a mapping"))?;
    if let Some(member) = members.keys().find(|member| *member != "AttributeName" && *member != "Enabled") {
        return Err(not_understood(format!("{path}.{member}"), "a member that local tables do not know"));
    }
    match (members.get("Enabled"), members.get("AttributeName")) {
        (Some(Value::Bool(false)), _) => Ok(None),
        (Some(Value::Bool(true)), Some(Value::String(attribute))) => Ok(Some(attribute.clone())),
        _ => Err(not_understood(path, "expected Enabled (true or false) and AttributeName")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_table_is_the_one_the_ledger_was_written_for() {
        let table = TableDefinition::embedded("state").unwrap();
        assert_eq!(table.ttl_attribute.as_deref(), Some("forget_at"));
        assert_eq!(
            table.create,
            json!({
                "TableName": "state",
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [
                    {"AttributeName": "pk", "AttributeType": "S"},
                    {"AttributeName": "sk", "AttributeType": "S"},
                    {"AttributeName": "due_shard", "AttributeType": "S"},
                    {"AttributeName": "due_at", "AttributeType": "N"},
                ],
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
                "GlobalSecondaryIndexes": [{
                    "IndexName": "due",
                    "KeySchema": [
                        {"AttributeName": "due_shard", "KeyType": "HASH"},
                        {"AttributeName": "due_at", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }],
            })
        );
    }

    fn refusal(properties: &str) -> String {
        let yaml = format!(
            "Outputs:\n  Url: {{Value: !Sub 'x${{Y}}'}}\nResources:\n  StateTable:\n    Type: AWS::DynamoDB::Table\n    Properties:\n{properties}"
        );
        TableDefinition::from_template(&yaml, "state").unwrap_err().to_string()
    }

    #[test]
    fn a_property_that_is_not_understood_is_refused_by_name() {
        assert_eq!(
            refusal("      StreamSpecification: {StreamViewType: NEW_IMAGE}\n"),
            "StateTable: StreamSpecification: a property that local tables do not know"
        );
        assert_eq!(
            refusal("      KeySchema: [{AttributeName: pk, Keytype: HASH}]\n"),
            "StateTable: KeySchema[0].Keytype: a member that local tables do not know"
        );
        assert_eq!(
            refusal("      TimeToLiveSpecification: {Attribute: forget_at, Enabled: true}\n"),
            "StateTable: TimeToLiveSpecification.Attribute: a member that local tables do not know"
        );
    }

    #[test]
    fn a_value_that_only_a_stack_knows_is_refused_by_place() {
        let reason = "an intrinsic function, and there is no stack to ask";
        assert_eq!(refusal("      BillingMode: !Ref Mode\n"), format!("StateTable: BillingMode: {reason}"));
        assert_eq!(
            refusal("      KeySchema: [{AttributeName: {'Fn::Sub': pk}, KeyType: HASH}]\n"),
            format!("StateTable: KeySchema[0].AttributeName: {reason}")
        );
    }

    #[test]
    fn a_template_without_the_table_says_so() {
        for yaml in ["Resources: {}", "Resources: {StateTable: {Type: AWS::SQS::Queue, Properties: {}}}"] {
            assert!(matches!(TableDefinition::from_template(yaml, "state"), Err(TemplateError::NoTable)));
        }
    }
}
