use crate::{Deployment, Outcome, args};
pub async fn report(_: &Deployment, _: &args::Report) -> anyhow::Result<Outcome> { Ok(Outcome::Done) }
