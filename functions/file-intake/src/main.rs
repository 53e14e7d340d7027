//! Entry point of the Lambda function `file-intake`.

use std::{process::ExitCode, sync::Arc};

use shiftwork_aws::{client::Aws, environment, files, lambda, notices::AwsNotices, objects::S3Objects, queues};
use shiftwork_file_intake::{Environment, Intake};
use shiftwork_ports::{Bucket, SystemClock};

fn main() -> ExitCode {
    lambda::start(|| {
        let (aws, environment) = (Aws::from_env()?, environment::read::<Environment>()?);
        let (config, objects) = (aws.config(), Arc::new(S3Objects::new(aws.config())));
        let intake = Intake::new(
            Arc::new(files::DynamoRegister::new(config, &environment.file_audit_table)),
            objects.clone(),
            Bucket::new(objects, &environment.scripts_bucket),
            Arc::new(queues::SqsRequests::new(config, &environment.request_queue_url)),
            Arc::new(queues::SqsWorkItems::new(config, &environment.file_work_queue_url)),
            Arc::new(queues::SqsDeadLetters::new(config, &environment.file_dead_letter_queue_url)),
            Arc::new(AwsNotices::of_function(&aws, &environment.notices)),
            Arc::new(SystemClock),
        );
        Ok(async move |event: lambda::Event<_>| intake.handle(event.payload).await)
    })
}
