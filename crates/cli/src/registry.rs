//! The registry in the hands of people: to look at, to check, to move from one place to another, and to take over from a
//! master of Apache Mesos.
//!
//! None of it speaks with a master: what is read and written is what masters keep.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use coordination::{Change, Local, Store, StoreError, StoreTimeouts, Url};
use master_core::registry::{self, State, UNFINISHED};
use proto::json::{self, Names};
use proto::mesos::internal::Registry;
use tokio::runtime::Handle;

use crate::say;
use crate::tool::print;

/// The session with ZooKeeper or etcd; what commands do is over soon.
const SESSION: Duration = Duration::from_secs(10);

/// How long reading or writing a registry of many agents may take.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Subcommand)]
pub(crate) enum RegistryVerb {
    /// Prints it as JSON
    Dump(Place),
    /// Checks every entry, and says what is wrong with which
    Verify(Place),
    /// Replaces it by a dump, or by the replicated log of a master of Apache Mesos
    Import {
        #[command(flatten)]
        place: Place,
        /// A file that `mesos registry dump` printed, or the directory `replicated_log` of a master of Apache Mesos
        source: PathBuf,
        /// Replace a registry that has something in it
        #[arg(long)]
        force: bool,
    },
}

/// Where a registry is, as its masters are told.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Place {
    /// Where masters elect their leader: zk:// or etcd://host1:port1,host2:port2/path
    #[arg(long, env = "MESOS_ZK", value_name = "URL")]
    zk: Option<String>,
    /// The work directory of a master that is alone
    #[arg(long = "work_dir", alias = "work-dir", env = "MESOS_WORK_DIR", value_name = "DIRECTORY")]
    work_dir: Option<PathBuf>,
}

/// The same, understood.
#[derive(Clone, Debug)]
enum Kept {
    Here(PathBuf),
    Shared(Url),
}

impl Place {
    fn kept(&self) -> anyhow::Result<Kept> {
        match (&self.zk, &self.work_dir) {
            (Some(url), _) => {
                Ok(Kept::Shared(url.parse().with_context(|| "Failed to parse --zk".to_owned())?))
            }
            (None, Some(work_dir)) => Ok(Kept::Here(work_dir.join("registry"))),
            (None, None) => bail!("say where the registry is: --zk or --work_dir"),
        }
    }
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Here(directory) => write!(f, "{}", directory.display()),
            Self::Shared(url) => write!(f, "{url}"),
        }
    }
}

type Entries = Vec<(String, Vec<u8>)>;

impl Kept {
    async fn look(&self) -> Result<Entries, StoreError> {
        let (kept, runtime) = (self.clone(), Handle::current());
        blocking(move || match kept {
            Self::Here(directory) => Local::look(&directory),
            Self::Shared(url) => coordination::look(&url, TIMEOUTS, &runtime),
        })
        .await
    }

    /// Takes the place of a leader: whoever led before can write no more.
    async fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        let (kept, runtime) = (self.clone(), Handle::current());
        blocking(move || -> Result<Box<dyn Store>, StoreError> {
            match kept {
                Self::Here(directory) => Ok(Box::new(Local::open(&directory)?)),
                Self::Shared(url) => coordination::open(&url, TIMEOUTS, &runtime),
            }
        })
        .await
    }

    /// How to mend an entry.
    fn repair(&self, key: &str) -> String {
        let whole = "or bring a backup back: `mesos registry import --force FILE`";
        match self {
            Self::Here(_) => format!("bring a backup back: `mesos registry import --force FILE` ({key})"),
            Self::Shared(url) => {
                format!("remove '{}/{key}' from {}, {whole}", url.registry_path(), url.service())
            }
        }
    }
}

const TIMEOUTS: StoreTimeouts = StoreTimeouts { session: SESSION, fetch: PATIENCE, store: PATIENCE };

/// Stores block their thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("it does not panic")
}

pub(crate) async fn registry(verb: RegistryVerb) -> anyhow::Result<()> {
    match verb {
        RegistryVerb::Dump(place) => dump(&place.kept()?).await,
        RegistryVerb::Verify(place) => verify(&place.kept()?).await,
        RegistryVerb::Import { place, source, force } => import(&place.kept()?, &source, force).await,
    }
}

fn assemble(entries: &Entries) -> Result<Registry, registry::BadEntry> {
    State::from_entries(entries.iter().map(|(key, value)| (key.as_str(), value.as_slice())))
}

async fn dump(kept: &Kept) -> anyhow::Result<()> {
    let entries = kept.look().await?;
    let registry = assemble(&entries).context("`mesos registry verify` says all that is wrong")?;
    print(&format!("{}\n", json::to_string(&registry, Names::V0)))
}

async fn verify(kept: &Kept) -> anyhow::Result<()> {
    let entries = kept.look().await?;
    let wrong = registry::of_entries(&entries);
    for bad in &wrong {
        say(&format!("{bad}\n    {}", kept.repair(bad.key())));
    }
    ensure!(
        wrong.is_empty(),
        "{} of {} entries are wrong; no master leads with them",
        wrong.len(),
        entries.len()
    );
    let agents = entries.iter().filter(|(key, _)| key.contains('/')).count();
    print(&format!(
        "The registry at {kept} is sound: {} entries, {agents} of them of agents\n",
        entries.len()
    ))
}

async fn import(kept: &Kept, source: &Path, force: bool) -> anyhow::Result<()> {
    // ORDER: what is wrong with the source is said before anything is touched.
    let registry = read_source(source)?;
    let state = sound(registry, source)?;
    if let Kept::Shared(url) = kept {
        let masters = coordination::candidates(url, SESSION).await.map_err(anyhow::Error::msg)?;
        if let Some(leader) = masters.first() {
            bail!(
                "the master {} leads at {url}: stop all masters first ({} are there), and wait until their sessions are \
                 over",
                leader.pid(),
                masters.len()
            );
        }
    }
    // A registry that cannot be read is one that is not empty.
    match kept.look().await {
        Err(StoreError::Missing { .. }) => {}
        Ok(entries) if entries.is_empty() => {}
        Ok(entries) if !force => bail!(
            "the registry at {kept} has {} entries; --force replaces them (`mesos registry dump` keeps a copy)",
            entries.len()
        ),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    let changes: Vec<Change> = state
        .entries()
        .into_iter()
        .map(|(key, value)| Change { key: key.to_string(), value: Some(value) })
        .collect();
    let count = changes.len();
    let store = kept.open().await?;
    blocking(move || replace(store, changes))
        .await
        .context("the import has not ended, and no master leads until it has: run it again with --force")?;
    print(&format!("Imported {count} entries to {kept}\n"))
}

/// Puts these entries in the place of all others.
fn replace(mut store: Box<dyn Store>, changes: Vec<Change>) -> Result<(), StoreError> {
    let new: BTreeSet<&str> = changes.iter().map(|change| change.key.as_str()).chain([UNFINISHED]).collect();
    let old = store.read()?.into_iter().map(|(key, _)| key);
    let gone = old.filter(|key| !new.contains(key.as_str()));
    let gone: Vec<Change> = gone.map(|key| Change { key, value: None }).collect();
    let mark = |value| [Change { key: UNFINISHED.to_owned(), value }];
    // ORDER: many entries are several commits. While they are done, no master takes the half for the whole.
    store.commit(&mark(Some(vec![])))?;
    store.commit(&gone)?;
    store.commit(&changes)?;
    store.commit(&mark(None))
}

fn read_source(source: &Path) -> anyhow::Result<Registry> {
    let facts = fs::metadata(source).with_context(|| format!("cannot read '{}'", source.display()))?;
    if facts.is_dir() {
        let found = replicated_log::read(source)?;
        if !found.agreed {
            say(&format!(
                "The registry is of position {} of the log. This master did not know yet that the others agreed to it: \
                 it is the last if this one led last.",
                found.position
            ));
        }
        return Ok(found.registry);
    }
    let text = fs::read(source).with_context(|| format!("cannot read '{}'", source.display()))?;
    json::from_slice_v0(&text)
        .with_context(|| format!("'{}' is no registry that `mesos registry dump` printed", source.display()))
}

/// The state of a registry that has no faults.
fn sound(registry: Registry, source: &Path) -> anyhow::Result<State> {
    let wrong = registry::of_registry(&registry);
    for bad in &wrong {
        say(&bad.to_string());
    }
    ensure!(wrong.is_empty(), "'{}' is not imported: {} entries are wrong", source.display(), wrong.len());
    Ok(State::from(registry))
}
