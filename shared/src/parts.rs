//! What every function is made of: the settings, and the things of the outside world that are handed in.

use std::sync::Arc;

use aws_config::SdkConfig;

use crate::{
    aws::Lazy,
    clock::{Clock, SystemClock},
    config::{SecretSettings, Settings},
    ledger::Ledger,
    opening::Opener,
    random::{Random, SystemRandom},
    reaching::Reacher,
    reception::Reception,
    rescue::Rescuer,
    secrets::{SecretSource, Secrets},
    telemetry::{self, Emit, Metrics},
    transport::{HttpsError, HttpsTransport, Transport},
    twilio::Twilio,
    web_chat_host::WebChatHost,
    webhook::Verifier,
};

/// The outside world.
#[derive(Clone)]
pub struct World {
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The way to Twilio.
    pub twilio: Arc<dyn Transport>,
    /// The way to everybody else.
    pub web: Arc<dyn Transport>,
    /// AWS: region, credentials and the way there.
    pub aws: SdkConfig,
    /// Where metrics go.
    pub emit: Emit,
}

impl World {
    /// The world as it is in Lambda: one HTTPS client for everything.
    pub async fn in_lambda() -> Result<Self, HttpsError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let transport: Arc<dyn Transport> = Arc::new(HttpsTransport::from_environment()?);
        let aws = crate::aws::from_environment(&clock, &transport).await;
        Ok(Self {
            clock,
            random: Arc::new(SystemRandom),
            twilio: Arc::clone(&transport),
            web: transport,
            aws,
            emit: telemetry::stdout(),
        })
    }
}

/// The parts of a function, put together.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Lets in what Twilio signed.
    pub reception: Reception,
    /// Looks after conversations, and holds what opens Interactions.
    pub rescuer: Rescuer,
    /// Makes outbound reaches.
    pub reacher: Reacher,
    /// Begins web chats, and has them end.
    pub host: WebChatHost,
    /// What the callers of functions that Twilio does not call must know.
    pub secrets: Arc<Secrets>,
}

impl Parts {
    /// Puts the parts of `function` together.
    #[must_use]
    pub fn new(function: &'static str, settings: &Settings, world: &World) -> Self {
        let source = match &settings.secrets {
            SecretSettings::Given(credentials) => SecretSource::Given(credentials.clone()),
            SecretSettings::Arn(arn) => {
                let aws = world.aws.clone();
                let client = Lazy::new(move || aws_sdk_secretsmanager::Client::new(&aws));
                SecretSource::SecretsManager { client, arn: arn.clone() }
            }
        };
        let secrets = Arc::new(Secrets::new(source, Arc::clone(&world.clock)));
        let aws = world.aws.clone();
        let dynamodb = Lazy::new(move || aws_sdk_dynamodb::Client::new(&aws));
        let (clock, emit) = (Arc::clone(&world.clock), Arc::clone(&world.emit));
        let metrics = Metrics::new(&settings.metrics_namespace, function, clock, emit);
        let opener = Opener {
            ledger: Ledger::new(dynamodb, &settings.table, Arc::clone(&world.random)),
            twilio: Twilio::new(
                Arc::clone(&world.twilio),
                Arc::clone(&world.random),
                Arc::clone(&secrets),
                settings.account.clone(),
                settings.bases.clone(),
                metrics.clone(),
            ),
            clock: Arc::clone(&world.clock),
            random: Arc::clone(&world.random),
            rules: Arc::new(settings.rules.clone()),
            defaults: Arc::new(settings.routing.clone()),
            metrics,
        };
        let verifier = Verifier::new(settings.public_base_url.clone());
        Self {
            reception: Reception::new(verifier, Arc::clone(&secrets), opener.metrics.clone()),
            reacher: Reacher {
                opener: opener.clone(),
                service: settings.chat_service.clone(),
                timers: Arc::new(settings.outbound.timers.clone()),
            },
            host: WebChatHost { opener: opener.clone() },
            secrets,
            rescuer: Rescuer {
                opener,
                rules: Arc::new(settings.orphans.clone()),
                messages: Arc::new(settings.messages.clone()),
            },
        }
    }
}
