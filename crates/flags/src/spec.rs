//! The description of a flag, and the macro that makes a struct of flags out of descriptions.

use crate::value::{Fetch, Value};

/// Refuses a value's text with the message to show.
pub type Rule = fn(&str) -> Result<(), String>;

/// One flag, as its program describes it.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The name, with underscores.
    pub name: &'static str,
    /// The heading under which `--help` shows it.
    pub group: &'static str,
    /// The help text, line by line as written; it is wrapped anew when shown.
    pub help: &'static [&'static str],
    /// The default as one would type it; none for optional and for required flags.
    pub default: Option<&'static str>,
    /// An old name that still works, and warns.
    pub alias: Option<&'static str>,
    /// The only values that are taken; empty for any.
    pub choices: &'static [&'static str],
    /// Understood, but without effect so far: setting it warns.
    pub pending: bool,
    /// Whether it protects the daemon and has no effect yet: a start with it set would be a start without protection.
    pub guards: bool,
    /// In the `/flags` document only when its value is not the default.
    pub unlisted: bool,
    /// May be given as `--name` and `--no-name`.
    pub boolean: bool,
    /// Must be given.
    pub required: bool,
    /// What `file://` means for it.
    pub fetch: Fetch,
    /// A rule that the text of the value must keep, beyond its type.
    pub rule: Option<Rule>,
}

impl Spec {
    /// A flag of the type `T`.
    pub const fn of<T: Value>(
        name: &'static str,
        group: &'static str,
        help: &'static [&'static str],
        default: Option<&'static str>,
    ) -> Self {
        Self {
            name,
            group,
            help,
            default,
            alias: None,
            choices: &[],
            pending: false,
            guards: false,
            unlisted: false,
            boolean: T::BOOLEAN,
            required: default.is_none() && !T::OPTIONAL,
            fetch: T::FETCH,
            rule: None,
        }
    }

    /// An old name that still works.
    pub const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    /// Only these values are taken.
    pub const fn one_of(mut self, choices: &'static [&'static str]) -> Self {
        self.choices = choices;
        self
    }

    /// It protects the daemon and nothing honours it yet: a start with it is refused.
    pub const fn guards(mut self) -> Self {
        self.guards = true;
        self
    }

    /// Accepted, but nothing honours it yet.
    pub const fn pending(mut self) -> Self {
        self.pending = true;
        self
    }

    /// In the `/flags` document only when its value is not the default: a flag that Mesos has only when it is built
    /// with some optional part, so that documents of a usual build do not hold it.
    pub const fn unlisted(mut self) -> Self {
        self.unlisted = true;
        self
    }

    /// A rule for the value's text; its error is shown as it is.
    pub const fn rule(mut self, rule: Rule) -> Self {
        self.rule = Some(rule);
        self
    }
}

/// A struct of flags; [`flags!`](crate::flags!) writes it.
pub trait FlagSet {
    /// The descriptions, in the order of the struct.
    fn specs(&self) -> &'static [Spec];
    /// Sets a flag from text. Refuses a name that is not in `specs`.
    fn set(&mut self, name: &str, given: &str, contents: Option<&str>) -> Result<(), String>;
    /// The value of a flag as text; none when unset.
    fn print(&self, name: &str) -> Option<String>;
    /// What `print` gives before anything is set.
    fn print_default(&self, name: &str) -> Option<String>;
}

/// The value of a flag before anything is given.
pub fn initial<T: Value>(spec: &Spec) -> T {
    match spec.default {
        Some(text) => T::parse(text, None).expect("each set has a test that makes its defaults"),
        None => T::unset(),
    }
}

/// Describes the flags of a program and makes a struct of them.
///
/// ```
/// flags::flags! {
///     /// What the example is told at start.
///     pub struct ExampleFlags {
///         "Network" {
///             /// Port to listen on.
///             port: u16 = "5050";
///             /// Address to listen on; every address when unset.
///             ip: Option<String>;
///         }
///         "Storage" {
///             /// Where the registry is kept.
///             registry: String = "local" => one_of(&["local", "in_memory"]).alias("store");
///         }
///     }
/// }
/// assert_eq!(ExampleFlags::default().port, 5050);
/// ```
#[macro_export]
macro_rules! flags {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $set:ident {
            $($group:literal {
                $(
                    $(#[doc = $doc:literal])+
                    $name:ident : $type:ty $(= $default:literal)? $(=> $($option:ident($($argument:expr),*)).+)? ;
                )*
            })*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        $visibility struct $set {
            $($(
                $(#[doc = $doc])+
                pub $name: $type,
            )*)*
        }

        impl $set {
            /// The description of every flag, in the order of the struct.
            $visibility const SPECS: &'static [$crate::Spec] = &[$($(
                $crate::Spec::of::<$type>(
                    stringify!($name),
                    $group,
                    &[$($doc),+],
                    $crate::flags!(@default $($default)?),
                )$($(.$option($($argument),*))+)?,
            )*)*];
        }

        impl Default for $set {
            fn default() -> Self {
                let mut specs = Self::SPECS.iter();
                Self {
                    // ORDER: the fields are written in the order of SPECS.
                    $($($name: $crate::macros::initial(specs.next().expect("one description per field")),)*)*
                }
            }
        }

        impl $crate::FlagSet for $set {
            fn specs(&self) -> &'static [$crate::Spec] {
                Self::SPECS
            }

            fn set(&mut self, name: &str, given: &str, contents: Option<&str>) -> Result<(), String> {
                match name {
                    $($(stringify!($name) => self.$name = <$type as $crate::Value>::parse(given, contents)?,)*)*
                    _ => return Err(format!("'{name}' is not a flag of this set")),
                }
                Ok(())
            }

            fn print(&self, name: &str) -> Option<String> {
                match name {
                    $($(stringify!($name) => $crate::Value::print(&self.$name),)*)*
                    _ => None,
                }
            }

            fn print_default(&self, name: &str) -> Option<String> {
                Self::default().print(name)
            }
        }
    };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}
