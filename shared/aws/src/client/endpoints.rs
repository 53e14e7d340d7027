use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

/// The environment variables that service clients read.
///
/// `AWS_ENDPOINT_URL_REDSHIFT_DATA` (with the service id in capitals) takes precedence over `AWS_ENDPOINT_URL`, and
/// `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true` over both, as in every AWS SDK.
#[derive(Debug)]
pub(super) struct Endpoints;

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        load(&key, super::variable)
    }
}

fn load(key: &ServiceConfigKey<'_>, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    if key.env() == "AWS_ENDPOINT_URL"
        && variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    {
        return None;
    }
    let service = key.service_id().to_ascii_uppercase().replace([' ', '-'], "_");
    variable(&format!("{}_{service}", key.env())).or_else(|| variable(key.env()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(service_id: &str, set: &[(&str, &str)]) -> Option<String> {
        let key = ServiceConfigKey::builder()
            .service_id(service_id)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build()
            .unwrap();
        load(&key, |name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_endpoint_of_the_service_takes_precedence() {
        let set = [("AWS_ENDPOINT_URL", "http://all"), ("AWS_ENDPOINT_URL_REDSHIFT_DATA", "http://redshift")];
        assert_eq!(endpoint("Redshift Data", &set).as_deref(), Some("http://redshift"));
        assert_eq!(endpoint("SFN", &set).as_deref(), Some("http://all"));
    }

    #[test]
    fn configured_endpoints_can_be_disabled() {
        let set = [("AWS_ENDPOINT_URL", "http://all"), ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "TRUE")];
        assert_eq!(endpoint("SFN", &set), None);
    }
}
