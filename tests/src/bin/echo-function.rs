//! A function for the tests of the Runtime API host: it does what its event says.

use std::{
    env,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::exit,
};

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

async fn handle(LambdaEvent { payload, context }: LambdaEvent<Value>) -> Result<Value, Error> {
    match payload["do"].as_str() {
        Some("fail") => Err("told to fail".into()),
        Some("exit") => exit(3),
        Some("hang") => {
            println!("hanging");
            std::future::pending().await
        }
        Some("log") => {
            println!("to stdout");
            eprintln!("to stderr");
            Ok(Value::Null)
        }
        _ => Ok(json!({
            "event": payload,
            "request_id": context.request_id,
            "deadline": context.deadline,
            "name": context.env_config.function_name,
            "memory": context.env_config.memory,
            "greeting": env::var("GREETING").ok(),
            "home": env::var("HOME").ok(),
        })),
    }
}

/// As other runtimes do it; the Rust one just ends.
fn report_init_error() -> Result<(), Error> {
    let body = r#"{"errorType":"Config","errorMessage":"GREETING is malformed"}"#;
    let host = env::var("AWS_LAMBDA_RUNTIME_API")?;
    let mut stream = TcpStream::connect(&host)?;
    write!(
        stream,
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if env::var_os("REFUSE_TO_START").is_some() {
        eprintln!("GREETING is malformed");
        exit(1);
    }
    if env::var_os("REPORT_INIT_ERROR").is_some() {
        report_init_error()?;
        exit(1);
    }
    run(service_fn(handle)).await
}
