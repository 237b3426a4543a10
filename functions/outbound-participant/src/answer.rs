//! What came of a reach, and how that is answered.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};
use shared::{
    problem::{Wrong, invalid, json as answer, problem_with},
    reach::{Fate, Reach, Refusal, Stage},
};

/// The answer to the request that made it.
pub(crate) fn first(reach: &Reach) -> Response<Bytes> {
    of(reach, if reach.joined { StatusCode::OK } else { StatusCode::CREATED })
}

/// The answer to the same request, asked again.
pub(crate) fn repeated(reach: &Reach) -> Response<Bytes> {
    of(reach, StatusCode::OK)
}

fn of(reach: &Reach, done: StatusCode) -> Response<Bytes> {
    match &reach.stage {
        Stage::Done => answer(done, &open(reach)),
        Stage::Refused { refusal } => refused(refusal),
        Stage::Making { .. } | Stage::Undoing { .. } => answer(StatusCode::ACCEPTED, &pending(reach)),
    }
}

/// The answer to whoever asks later what became of it: with the message's fate, which nobody knows at first.
pub(crate) fn told(reach: &Reach) -> Response<Bytes> {
    let body = match &reach.stage {
        Stage::Done => {
            let mut body = open(reach);
            if let Some(fate) = &reach.message {
                body.insert("message".to_owned(), told_fate(fate));
            }
            body
        }
        Stage::Refused { refusal } => {
            let (_, error, mut body) = why(refusal);
            body.insert("id".to_owned(), reach.id.as_str().into());
            body.insert("status".to_owned(), "refused".into());
            body.insert("error".to_owned(), error.into());
            body
        }
        Stage::Making { .. } | Stage::Undoing { .. } => pending(reach),
    };
    answer(StatusCode::OK, &body)
}

fn pending(reach: &Reach) -> Map<String, Value> {
    object(json!({"id": reach.id, "status": "pending"}))
}

fn open(reach: &Reach) -> Map<String, Value> {
    let mut body = object(json!({"id": reach.id, "status": "open"}));
    let sids = json!({
        "conversation_sid": reach.conversation,
        "interaction_sid": reach.interaction,
        "task_sid": reach.task,
    });
    body.extend(without_nulls(object(sids)));
    // An agent is there, and must know that nothing was said. What shows only later is told to who asks later:
    // the same request gets the same answer.
    if let Some(fate @ (Fate::Refused { .. } | Fate::GivenUp)) = &reach.message {
        body.insert("message".to_owned(), told_fate(fate));
    }
    body
}

/// What became of a message: its status, and Twilio's error code where there is one.
fn told_fate(fate: &Fate) -> Value {
    match fate {
        Fate::Sent { .. } => json!({"status": "sent"}),
        Fate::Delivered => json!({"status": "delivered"}),
        Fate::Refused { code } => json!({"status": "refused", "code": code}),
        Fate::Undelivered { code } => json!({"status": "undelivered", "code": code}),
        Fate::GivenUp => json!({"status": "not_sent"}),
    }
}

fn refused(refusal: &Refusal) -> Response<Bytes> {
    if let Refusal::AddressInvalid { field } = refusal {
        let wrong = Wrong::from([(field.clone(), "Twilio says that this is no address".to_owned())]);
        return invalid(wrong);
    }
    let (status, error, more) = why(refusal);
    let detail = match refusal {
        Refusal::ParticipantInConversation { .. } => "The customer is in a conversation already.",
        Refusal::AddressInvalid { .. } => "Twilio says that this is no address.",
        Refusal::MessageRefused { .. } => "Twilio did not take the message for this customer.",
        Refusal::Twilio { .. } => "Twilio refused.",
        Refusal::ConversationOver => "Somebody closed the conversation meanwhile.",
        Refusal::TooLate => "It could not be done in time, and was given up.",
    };
    problem_with(status, error, detail, more)
}

/// Status, name and further members of a refusal.
fn why(refusal: &Refusal) -> (StatusCode, &'static str, Map<String, Value>) {
    let mut more = match refusal {
        Refusal::ParticipantInConversation { conversation, state, interaction } => {
            let more =
                json!({"conversation_sid": conversation, "state": state, "interaction_sid": interaction});
            return (StatusCode::CONFLICT, "participant_in_conversation", without_nulls(object(more)));
        }
        Refusal::AddressInvalid { field } => {
            return (StatusCode::UNPROCESSABLE_ENTITY, "invalid", object(json!({"field": field})));
        }
        Refusal::MessageRefused { code } => {
            let more = without_nulls(object(json!({"code": code})));
            return (StatusCode::UNPROCESSABLE_ENTITY, "message_refused", more);
        }
        Refusal::Twilio { step, code, .. } => object(json!({"step": step, "code": code})),
        Refusal::ConversationOver => return (StatusCode::CONFLICT, "conversation_closed", Map::new()),
        Refusal::TooLate => return (StatusCode::GATEWAY_TIMEOUT, "given_up", Map::new()),
    };
    more = without_nulls(more);
    (StatusCode::BAD_GATEWAY, "twilio_refused", more)
}

fn without_nulls(mut object: Map<String, Value>) -> Map<String, Value> {
    object.retain(|_, value| !value.is_null());
    object
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
