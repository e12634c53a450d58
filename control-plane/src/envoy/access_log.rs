//! One line per request or connection on the proxy's standard output. Envoy's file logger cannot be used:
//! a proxy that runs as user 1337 may not open `/dev/stdout`; the stdout logger needs not open anything.

use envoy_types::pb::envoy::config::accesslog::v3::{AccessLog as Log, access_log::ConfigType};
use envoy_types::pb::envoy::config::core::v3::{
    DataSource, SubstitutionFormatString, data_source::Specifier, substitution_format_string::Format,
};
use envoy_types::pb::envoy::extensions::access_loggers::stream::v3::{
    StdoutAccessLog, stdout_access_log::AccessLogFormat,
};
use envoy_types::util::pack_any;

use crate::settings::AccessLog;

/// The log of one filter chain; `direction` and `plane` are written as they are.
pub(crate) fn logs(setting: AccessLog, direction: &str, plane: Option<&str>) -> Vec<Log> {
    match setting {
        AccessLog::Off => Vec::new(),
        AccessLog::On => vec![log(direction, plane.unwrap_or("-"))],
    }
}

fn log(direction: &str, plane: &str) -> Log {
    let line = format!(
        "[%START_TIME%] {direction} plane={plane} \"%REQ(:METHOD)% %REQ(:AUTHORITY)% %PROTOCOL%\" %RESPONSE_CODE% \
         %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% chain=%FILTER_CHAIN_NAME% \
         cluster=%UPSTREAM_CLUSTER% from=%DOWNSTREAM_REMOTE_ADDRESS% to=%DOWNSTREAM_LOCAL_ADDRESS% \
         via=%UPSTREAM_LOCAL_ADDRESS% upstream=%UPSTREAM_HOST%\n"
    );
    let source = DataSource { specifier: Some(Specifier::InlineString(line)), ..Default::default() };
    let format =
        SubstitutionFormatString { format: Some(Format::TextFormatSource(source)), ..Default::default() };
    let stdout = StdoutAccessLog { access_log_format: Some(AccessLogFormat::LogFormat(format)) };
    Log {
        name: "envoy.access_loggers.stdout".to_owned(),
        config_type: Some(ConfigType::TypedConfig(pack_any(stdout))),
        ..Default::default()
    }
}
