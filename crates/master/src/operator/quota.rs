//! GET_QUOTA, and `/quota` of the v0 API.

use std::sync::Arc;

use http::{Codec, Method, Request, Response};
use master_core::{OperatorCall, Quota, View};
use proto::json::{self, JsonError, Names};
use proto::mesos::v1;
use proto::mesos::v1::master::{Response as Answer, call, response};
use proto::mesos::v1::quota::{QuotaConfig, QuotaInfo, QuotaRequest, QuotaStatus};
use types::Role;

use super::changes::operate;
use crate::calls;
use crate::shell::Shell;

/// GET_QUOTA.
pub(super) async fn get_quota(shell: &Shell, codec: Codec) -> Result<Response, Response> {
    let snapshot = shell.snapshot().await?;
    let answer = Answer {
        r#type: Some(response::Type::GetQuota as i32),
        get_quota: Some(response::GetQuota { status: status(&snapshot.view) }),
        ..Answer::default()
    };
    Ok(calls::encode(codec, &answer))
}

/// GET and POST of `/quota`, DELETE of `/quota/<role>`.
pub(crate) async fn handle(shell: Arc<Shell>, request: Request) -> Response {
    let answer = if request.method == Method::GET {
        get(&shell, &request).await
    } else if request.method == Method::POST {
        set(&shell, &request).await
    } else {
        remove(&shell, &request).await
    };
    answer.unwrap_or_else(|refusal| refusal)
}

async fn get(shell: &Shell, request: &Request) -> Result<Response, Response> {
    let snapshot = shell.snapshot().await?;
    let text = json::to_string(&status(&snapshot.view), Names::V0);
    Ok(Response::ok_jsonp(text, request.query.get("jsonp")))
}

async fn set(shell: &Shell, request: &Request) -> Result<Response, Response> {
    let body: QuotaRequest = json::from_slice_v0(&request.body).map_err(|why| {
        let verb = match &why {
            JsonError::Convert(_) | JsonError::Missing(_) => "validate",
            JsonError::Syntax(_) => "parse",
        };
        let text = String::from_utf8_lossy(&request.body);
        Response::bad_request(format!("Failed to {verb} set quota request JSON '{text}': {why}"))
    })?;
    Ok(operate(shell, OperatorCall::SetQuota(call::SetQuota { quota_request: body })).await)
}

async fn remove(shell: &Shell, request: &Request) -> Result<Response, Response> {
    let (path, role) = (&request.path, request.tail.as_str());
    if role.is_empty() {
        let parts = path.split('/').filter(|part| !part.is_empty()).count();
        let why = format!(
            "Failed to parse remove quota request for path '{path}': expected 3 tokens, found {parts} tokens"
        );
        return Err(Response::bad_request(why));
    }
    let snapshot = shell.snapshot().await?;
    let allowed = snapshot.view.config.roles.as_ref();
    if !allowed.is_none_or(|allowed| role == "*" || allowed.iter().any(|one| one == role)) {
        let why = format!("Failed to validate remove quota request for path '{path}': Unknown role '{role}'");
        return Err(Response::bad_request(why));
    }
    if !snapshot.view.quotas.contains_key(role) {
        let why = format!("Failed to remove quota for path '{path}': Role '{role}' has no quota set");
        return Err(Response::bad_request(why));
    }
    let body = call::RemoveQuota { role: role.to_owned() };
    Ok(operate(shell, OperatorCall::RemoveQuota(body)).await)
}

/// All quotas, in both forms.
#[expect(deprecated, reason = "Mesos answers in the old form as well")]
fn status(view: &View) -> QuotaStatus {
    QuotaStatus {
        infos: view.quotas.iter().map(|(role, quota)| info(role, quota)).collect(),
        configs: view.quotas.iter().map(|(role, quota)| config(role, quota)).collect(),
    }
}

fn info(role: &Role, quota: &Quota) -> QuotaInfo {
    let guarantee = quota.guarantees.iter().map(|(name, amount)| v1::Resource {
        name: name.as_str().to_owned(),
        r#type: v1::value::Type::Scalar as i32,
        scalar: Some(v1::value::Scalar { value: amount.as_f64() }),
        ..v1::Resource::default()
    });
    QuotaInfo { role: Some(role.as_str().to_owned()), guarantee: guarantee.collect(), ..QuotaInfo::default() }
}

fn config(role: &Role, quota: &Quota) -> QuotaConfig {
    let value = |amount: f64| v1::value::Scalar { value: amount };
    let guarantees = quota.guarantees.iter();
    let limits = quota.limits.iter();
    QuotaConfig {
        role: role.as_str().to_owned(),
        guarantees: guarantees.map(|(name, of)| (name.as_str().to_owned(), value(of.as_f64()))).collect(),
        limits: limits.map(|(name, of)| (name.as_str().to_owned(), value(of.as_f64()))).collect(),
    }
}
