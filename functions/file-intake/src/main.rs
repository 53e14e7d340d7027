//! The file intake as a Lambda function.

use std::{process::ExitCode, sync::Arc};

use shiftwork_aws::{client::Aws, environment::Environment, files, lambda, notices, objects, queues};
use shiftwork_file_intake::{ENVIRONMENT, Intake};
use shiftwork_ports::{Bucket, SystemClock};

fn main() -> ExitCode {
    lambda::start(|| {
        let (aws, environment) = (Aws::from_env()?, Environment::read(ENVIRONMENT)?);
        let (config, get) = (aws.config(), |name| environment.get(name));
        let objects = Arc::new(objects::S3Objects::new(config));
        let intake = Intake::new(
            Arc::new(files::DynamoRegister::new(config, get("FILE_AUDIT_TABLE")?)),
            objects.clone(),
            Bucket::new(objects, get("SCRIPTS_BUCKET")?),
            Arc::new(queues::SqsRequests::new(config, get("REQUEST_QUEUE_URL")?)),
            Arc::new(queues::SqsWorkItems::new(config, get("FILE_WORK_QUEUE_URL")?)),
            Arc::new(queues::SqsDeadLetters::new(config, get("FILE_DEAD_LETTER_QUEUE_URL")?)),
            Arc::new(notices::AwsNotices::new(config, get("EVENT_BUS_NAME")?, get("FAILURE_TOPIC_ARN")?)),
            Arc::new(SystemClock),
        );
        Ok(async move |event: lambda::Event<_>| intake.handle(event.payload).await)
    })
}
