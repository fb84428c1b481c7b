//! Variables of an environment that may be secrets: what they are resolved to, and why some cannot be.
//!
//! A secret brings its value with it. References are for modules, which are not to be had.

use proto::mesos::v1::environment::{Variable, variable};
use proto::mesos::v1::{Environment, Secret, secret};

/// What a variable is set to. None if that cannot be told: [`check_variables`] says why.
#[must_use]
pub fn variable_value(variable: &Variable) -> Option<&str> {
    match variable.r#type() {
        variable::Type::Value => Some(variable.value()),
        variable::Type::Secret => variable.secret.as_ref().and_then(text),
        variable::Type::Unknown => None,
    }
}

/// The names of the variables that are secrets.
pub fn secret_names(environment: Option<&Environment>) -> impl Iterator<Item = &str> {
    let secrets = all(environment).filter(|variable| variable.r#type() == variable::Type::Secret);
    secrets.map(|variable| variable.name.as_str())
}

/// Why the secrets of an environment cannot be resolved. No word of a secret is in that.
pub fn check_variables(environment: Option<&Environment>) -> Result<(), String> {
    let secrets = all(environment).filter(|variable| variable.r#type() == variable::Type::Secret);
    secrets.into_iter().try_for_each(check)
}

fn all(environment: Option<&Environment>) -> impl Iterator<Item = &Variable> {
    environment.into_iter().flat_map(|environment| &environment.variables)
}

fn check(variable: &Variable) -> Result<(), String> {
    let invalid = |why: &str| {
        Err(format!("Invalid environment specified: Environment variable '{}' {why}", variable.name))
    };
    let Some(hidden) = &variable.secret else {
        return invalid("of type 'SECRET' must have a secret set");
    };
    if hidden.r#type() == secret::Type::Reference || hidden.reference.is_some() {
        return Err("Default secret resolver cannot resolve references".to_owned());
    }
    let Some(value) = &hidden.value else {
        return Err("Secret has no value".to_owned());
    };
    if value.data.contains(&0) {
        return invalid("specifies a secret containing null bytes, which is not allowed in the environment");
    }
    match text(hidden) {
        Some(_) => Ok(()),
        None => invalid("specifies a secret that is no UTF-8 text"),
    }
}

fn text(hidden: &Secret) -> Option<&str> {
    if hidden.r#type() == secret::Type::Reference || hidden.reference.is_some() {
        return None;
    }
    std::str::from_utf8(&hidden.value.as_ref()?.data).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(data: &'static [u8]) -> Variable {
        let value = Some(secret::Value { data: data.into() });
        Variable {
            name: "TOKEN".to_owned(),
            r#type: Some(variable::Type::Secret.into()),
            secret: Some(Secret { r#type: Some(secret::Type::Value.into()), value, ..Secret::default() }),
            ..Variable::default()
        }
    }

    fn refused(variable: &Variable) -> String {
        assert_eq!(variable_value(variable), None);
        check_variables(Some(&Environment { variables: vec![variable.clone()] })).unwrap_err()
    }

    #[test]
    fn secrets_are_resolved_to_their_values() {
        let plain = Variable { name: "A".to_owned(), value: Some("b".to_owned()), ..Variable::default() };
        let environment = Environment { variables: vec![plain, hidden(b"hush=hush")] };
        let values: Vec<_> = environment.variables.iter().map(variable_value).collect();
        assert_eq!(values, [Some("b"), Some("hush=hush")]);
        assert_eq!(secret_names(Some(&environment)).collect::<Vec<_>>(), ["TOKEN"]);
        assert_eq!(check_variables(Some(&environment)), Ok(()));
        assert_eq!(check_variables(None), Ok(()));
    }

    #[test]
    fn what_cannot_be_resolved_is_refused() {
        let mut variable = hidden(b"hush");
        let mut reference = Secret { r#type: Some(secret::Type::Reference.into()), ..Secret::default() };
        reference.reference = Some(secret::Reference { name: "vault".to_owned(), ..Default::default() });
        variable.secret = Some(reference);
        assert_eq!(refused(&variable), "Default secret resolver cannot resolve references");
        variable.secret = Some(Secret { r#type: Some(secret::Type::Value.into()), ..Secret::default() });
        assert_eq!(refused(&variable), "Secret has no value");
        variable.secret = None;
        assert!(refused(&variable).ends_with("'TOKEN' of type 'SECRET' must have a secret set"));
        assert!(refused(&hidden(b"hu\0sh")).contains("'TOKEN' specifies a secret containing null bytes"));
        assert!(refused(&hidden(b"hush\xff")).ends_with("'TOKEN' specifies a secret that is no UTF-8 text"));
    }
}
