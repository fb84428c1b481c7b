//! `posix/rlimits`: the limits of a container's processes that it asks for itself.

use proto::mesos::v1::r_limit_info::RLimit;
use proto::mesos::v1::r_limit_info::r_limit::Type;

use crate::plan::{Container, Plan, Refusal, Rlimit};

pub(crate) fn prepare(container: &Container<'_>, plan: &mut Plan) -> Result<(), Refusal> {
    let Some(info) = container.info.and_then(|info| info.rlimit_info.as_ref()) else { return Ok(()) };
    for limit in &info.rlimits {
        plan.process.rlimits.push(rlimit(limit)?);
    }
    Ok(())
}

fn rlimit(limit: &RLimit) -> Result<Rlimit, Refusal> {
    let name = name(limit.r#type())?;
    let numbers = match (limit.soft, limit.hard) {
        (None, None) => None,
        (Some(soft), Some(hard)) if soft <= hard => Some((soft, hard)),
        (Some(soft), Some(hard)) => {
            return Err(Refusal(format!("Invalid limits for RLMT_{name}: soft {soft} is above hard {hard}")));
        }
        (Some(_), None) | (None, Some(_)) => {
            return Err(Refusal(format!(
                "Invalid limits for RLMT_{name}: both soft and hard must be set, or neither"
            )));
        }
    };
    Ok(Rlimit { name: name.to_owned(), numbers })
}

fn name(limit: Type) -> Result<&'static str, Refusal> {
    Ok(match limit {
        Type::Unknown => return Err(Refusal("Unknown rlimit type".to_owned())),
        Type::RlmtAs => "AS",
        Type::RlmtCore => "CORE",
        Type::RlmtCpu => "CPU",
        Type::RlmtData => "DATA",
        Type::RlmtFsize => "FSIZE",
        Type::RlmtLocks => "LOCKS",
        Type::RlmtMemlock => "MEMLOCK",
        Type::RlmtMsgqueue => "MSGQUEUE",
        Type::RlmtNice => "NICE",
        Type::RlmtNofile => "NOFILE",
        Type::RlmtNproc => "NPROC",
        Type::RlmtRss => "RSS",
        Type::RlmtRtprio => "RTPRIO",
        Type::RlmtRttime => "RTTIME",
        Type::RlmtSigpending => "SIGPENDING",
        Type::RlmtStack => "STACK",
    })
}
