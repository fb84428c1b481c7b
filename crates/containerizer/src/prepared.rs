//! What a container's first process becomes once its image is there: the image has a say in the command, its
//! environment and where it begins.

use std::ffi::OsString;
use std::path::PathBuf;

use launch_plan::{ImageConfig, Isolator, Rootfs};
use proto::json::{Names, to_string};
use proto::mesos::v1::environment::Variable;
use proto::mesos::v1::environment::variable::Type;
use proto::mesos::v1::{CommandInfo, Environment, Image};
use types::secret_names;

use crate::config::Config;
use crate::entries::Shared;
use crate::program::Program;
use crate::provisioner::Provisioned;
use crate::sessions::Inherited;
use crate::spec::Spec;

/// An image that a container is made of.
#[derive(Clone, Debug)]
pub struct OfImage {
    /// Which.
    pub image: Image,
    /// The command that the image has a say in: the container's own, or for the executor of one command task the
    /// task's.
    pub command: CommandInfo,
}

/// The first process of a container.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) program: Program,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) directory: PathBuf,
    pub(crate) user: Option<String>,
    pub(crate) rootfs: Option<Rootfs>,
}

/// Gets the image of a container, and makes its root.
pub(crate) async fn prepare(shared: &Shared, spec: &Spec) -> Result<Prepared, String> {
    let Some(of_image) = &spec.image else { return Ok(plain(shared, spec)) };
    let config = &shared.config;
    let Some(provisioner) = &config.provisioner else {
        let kind = of_image.image.r#type().as_str_name();
        return Err(format!("Unsupported container image type: {kind}"));
    };
    let Provisioned { mut rootfs, config: mut image } =
        provisioner.provision(&spec.container, &of_image.image).await?;
    if config.settings.gpus.driver.is_some() && image.wants_gpu_driver() {
        rootfs.wants_gpu_driver = true;
        image.add_gpu_driver();
    }
    if let Some(user) = image.user.as_deref().filter(|_| heeds(config)) {
        tracing::warn!(container = %spec.container, user, "the user that an image names is not heeded");
    }
    let (prepared, directory) = if spec.is_command_task {
        let begins = image.working_dir.clone().filter(|_| heeds(config));
        let begins = begins.unwrap_or_else(|| config.settings.sandbox_directory.clone());
        (task_of_image(config, spec, of_image, &image, rootfs)?, begins.into())
    } else {
        let prepared = of(config, spec, of_image, &image, rootfs)?;
        let begins = prepared.directory.clone();
        (prepared, begins)
    };
    let inherited = Inherited { directory, environment: Some(prepared.environment.clone()) };
    let secrets: Vec<_> = secret_names(of_image.command.environment.as_ref()).collect();
    let noted = shared.inherit_for_good(&spec.container, inherited, &secrets);
    noted.map_err(|error| format!("Could not checkpoint container's launch information: {error}"))?;
    Ok(prepared)
}

fn plain(shared: &Shared, spec: &Spec) -> Prepared {
    let by_name = spec.by_name.as_ref();
    let begins = by_name.and_then(|by_name| by_name.working_directory.clone());
    let mut prepared = Prepared {
        program: spec.program.clone(),
        environment: spec.environment.clone(),
        directory: begins.unwrap_or_else(|| spec.directory.clone()),
        user: spec.user.clone(),
        rootfs: None,
    };
    let Some(session) = by_name.filter(|by_name| by_name.is_session) else { return prepared };
    let around = spec.container.parent.as_deref();
    if let Some(inherited) = around.and_then(|around| shared.inherited(around)) {
        match inherited.environment {
            Some(environment) => prepared.environment = environment,
            None => {
                let sandbox = shared.config.settings.sandbox_directory.clone();
                set(&mut prepared.environment, "MESOS_SANDBOX", sandbox);
            }
        }
        session.asked.iter().for_each(|(name, value)| set(&mut prepared.environment, name, value.clone()));
        prepared.directory = inherited.directory;
        // For a session in this one.
        let environment = Some(prepared.environment.clone());
        shared.inherit(&spec.container, Inherited { directory: prepared.directory.clone(), environment });
    }
    prepared
}

/// Whether what an image says counts.
fn heeds(config: &Config) -> bool {
    config.settings.isolation.has(Isolator::DockerRuntime) && !config.settings.ignore_image_config
}

/// A container of an image.
fn of(
    config: &Config,
    spec: &Spec,
    of_image: &OfImage,
    image: &ImageConfig,
    rootfs: Rootfs,
) -> Result<Prepared, String> {
    let sandbox = config.settings.sandbox_directory.clone();
    let mut environment = spec.environment.clone();
    set(&mut environment, "MESOS_SANDBOX", sandbox.clone());
    let mut command = None;
    let mut directory = None;
    if heeds(config) {
        environment = image.environment_over(&environment, &of_image.command);
        command = image.command(&of_image.command).map_err(|refusal| refusal.to_string())?;
        directory.clone_from(&image.working_dir);
    }
    let command = command.as_ref().unwrap_or(&of_image.command);
    Ok(Prepared {
        program: Program::of(command).map_err(|error| error.to_string())?,
        environment,
        directory: directory.unwrap_or(sandbox).into(),
        user: spec.user.clone(),
        rootfs: Some(rootfs),
    })
}

/// The executor of a command task with an image. COMPAT(mesos): it stays outside, and is told what the image says by
/// its arguments.
fn task_of_image(
    config: &Config,
    spec: &Spec,
    of_image: &OfImage,
    image: &ImageConfig,
    rootfs: Rootfs,
) -> Result<Prepared, String> {
    let mut program = spec.program.clone();
    let mut add = |name: &str, value: &str| program.argv.push(OsString::from(format!("--{name}={value}")));
    if heeds(config) {
        if let Some(directory) = &image.working_dir {
            add("working_directory", directory);
        }
        if let Some(mut command) = image.command(&of_image.command).map_err(|refusal| refusal.to_string())? {
            withhold_secrets(&mut command);
            add("task_command", &to_string(&command, Names::V0));
        }
        let mut variables = image.environment();
        let secrets: Vec<_> = secret_names(of_image.command.environment.as_ref()).collect();
        variables.retain(|(name, _)| !secrets.contains(&name.as_str()));
        if !variables.is_empty() {
            let variable = |(name, value)| Variable { name, value: Some(value), ..Variable::default() };
            let variables = variables.into_iter().map(variable).collect();
            add("task_environment", &to_string(&Environment { variables }, Names::V0));
        }
    }
    add("rootfs", &rootfs.path);
    let mut environment = spec.environment.clone();
    set(&mut environment, "MESOS_SANDBOX", config.settings.sandbox_directory.clone());
    Ok(Prepared {
        program,
        environment,
        directory: spec.directory.clone(),
        // Only root can enter a root.
        user: None,
        rootfs: Some(rootfs),
    })
}

/// Everybody sees a command line: the executor has the secrets from its own environment.
fn withhold_secrets(command: &mut CommandInfo) {
    if let Some(environment) = &mut command.environment {
        environment.variables.retain(|it| it.r#type() != Type::Secret);
    }
}

fn set(environment: &mut Vec<(String, String)>, name: &str, value: String) {
    match environment.iter_mut().find(|(known, _)| known == name) {
        Some(known) => known.1 = value,
        None => environment.push((name.to_owned(), value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_have_no_secrets() {
        let named = |name: &str, kind: Type| Variable {
            name: name.to_owned(),
            r#type: Some(kind.into()),
            ..Variable::default()
        };
        let variables = vec![named("TOKEN", Type::Secret), named("A", Type::Value)];
        let mut command =
            CommandInfo { environment: Some(Environment { variables }), ..CommandInfo::default() };
        withhold_secrets(&mut command);
        assert_eq!(command.environment.unwrap().variables, [named("A", Type::Value)]);
    }
}
