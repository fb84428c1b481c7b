//! What a process that was not started by an exec shows of itself: its arguments and its environment.
#![expect(unsafe_code, reason = "what `ps` shows and the environment of a process have no safe form")]

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::ptr;

/// `PR_SET_MM` and its whole form.
const SET_MM: i32 = 35;
const SET_MM_MAP: u64 = 14;

/// `struct prctl_mm_map` of the kernel: where a process keeps what. The kernel uses the last four for `/proc` alone.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Map {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// Where this process keeps what: the same in all that is forked of it.
#[derive(Clone, Copy, Debug)]
pub struct Guise {
    map: Map,
}

impl Guise {
    /// Reads it.
    pub fn read() -> io::Result<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        Self::parse(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn parse(stat: &str) -> Option<Self> {
        // The name is in parentheses and may contain anything, parentheses included. After it come fields 3 and on.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let map = Map {
            start_code: field(26)?,
            end_code: field(27)?,
            start_data: field(45)?,
            end_data: field(46)?,
            start_brk: field(47)?,
            brk: 0,
            start_stack: field(28)?,
            arg_start: field(48)?,
            arg_end: field(49)?,
            env_start: field(50)?,
            env_end: field(51)?,
            auxv: 0,
            auxv_size: 0,
            exe_fd: u32::MAX,
        };
        Some(Self { map })
    }

    /// Shows what is shown. An error says that the kernel could not show anything else either.
    pub fn show_own(&self) -> io::Result<()> {
        set(&Map { brk: end_of_heap(), ..self.map })
    }

    /// Lets `/proc` show these arguments and this environment as those of the process. They take a little memory that
    /// is never given back.
    pub fn show(&self, argv: &[OsString], environment: &[(String, String)]) -> io::Result<()> {
        let mut text = Vec::new();
        for argument in argv {
            text.extend_from_slice(argument.as_bytes());
            text.push(0);
        }
        let args_end = text.len();
        for (name, value) in environment {
            [name, "=", value, "\0"].iter().for_each(|part| text.extend_from_slice(part.as_bytes()));
        }
        let text: &'static [u8] = text.leak();
        let start = text.as_ptr().expose_provenance() as u64;
        let (middle, end) = (start + args_end as u64, start + text.len() as u64);
        let map = Map {
            brk: end_of_heap(),
            arg_start: start,
            arg_end: middle,
            env_start: middle,
            env_end: end,
            ..self.map
        };
        set(&map)
    }
}

fn end_of_heap() -> u64 {
    // SAFETY: an end of 0 is refused, which only tells where it is.
    unsafe { libc::syscall(libc::SYS_brk, 0) }.cast_unsigned()
}

fn set(map: &Map) -> io::Result<()> {
    // SAFETY: the kernel reads a structure of the size that it is told. What it takes from it are addresses that only
    // say what is shown, and others that are as they were.
    let done = unsafe { libc::prctl(SET_MM, SET_MM_MAP, ptr::from_ref(map), size_of::<Map>() as u64, 0_u64) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives this process that environment, in place of the one that it has.
///
/// The calling process must have one thread. Names are not empty and have no `=`; nothing has a NUL.
pub fn replace_environment(environment: &[(String, String)]) {
    let before: Vec<OsString> = std::env::vars_os().map(|(name, _)| name).collect();
    // SAFETY: with one thread, as is asked for above, nobody else reads the environment meanwhile.
    unsafe {
        before.iter().for_each(|name| std::env::remove_var(name));
        environment.iter().for_each(|(name, value)| std::env::set_var(name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_whatever_the_name() {
        let numbers: Vec<String> = (4..=52).map(|number: u32| number.to_string()).collect();
        let guise = Guise::parse(&format!("1 (a) (b) R {}", numbers.join(" "))).unwrap();
        assert_eq!((guise.map.start_code, guise.map.start_stack, guise.map.env_end), (26, 28, 51));
        assert!(Guise::parse("1 (a) R 2 3").is_none());
    }
}
