//! The arguments that all commands of a gateway share.

use crate::output::Format;

/// Which gateway, and who asks.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Endpoint {
    /// The gateway
    #[arg(
        long,
        global = true,
        env = "FRAZIL_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:7777"
    )]
    pub(crate) url: String,
    /// The bearer token, if the gateway asks for one
    #[arg(long, global = true, env = "FRAZIL_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}

/// What commands about objects share.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ObjectArgs {
    #[command(flatten)]
    pub(crate) endpoint: Endpoint,
    /// How to print: a table for people, one JSON document for programs
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    pub(crate) output: Format,
}
