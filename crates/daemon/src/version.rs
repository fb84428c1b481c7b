//! Which Mesos this is, and which program.

use proto::json::Writer;
use proto::mesos::v1::VersionInfo;

/// The program as `/version` tells it.
#[derive(Debug)]
pub struct Version {
    /// The version of Mesos whose behaviour this is. Clients parse it as dotted whole numbers.
    pub mesos: &'static str,
    /// The version of this program itself.
    pub own: &'static str,
    build_date: &'static str,
    build_time_secs: f64,
    build_user: &'static str,
}

/// This program. Equal sources give equal binaries, so the times are those of the release and not of a build.
pub const VERSION: Version = Version {
    mesos: "1.12.0",
    own: env!("CARGO_PKG_VERSION"),
    build_date: "2026-11-20 00:00:00 UTC",
    build_time_secs: 1_795_132_800.0,
    build_user: "mesos-rs",
};

impl Version {
    /// The members that `/version` and the `/state` of C++ Mesos have.
    pub fn write_fields(&self, w: &mut Writer) {
        w.field_str("build_date", self.build_date);
        w.field_f64("build_time", self.build_time_secs);
        w.field_str("build_user", self.build_user);
        w.field_str("version", self.mesos);
    }

    /// The document of `/version`: the members of Mesos, and our own version beside them.
    pub fn document(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.object(|w| {
            self.write_fields(w);
            w.field_str("mesos_rs_version", self.own);
        });
        w.into_bytes()
    }

    /// What GET_VERSION answers; the message has no room for more than Mesos's own version.
    pub fn message(&self) -> VersionInfo {
        VersionInfo {
            version: self.mesos.to_owned(),
            build_date: Some(self.build_date.to_owned()),
            build_time: Some(self.build_time_secs),
            build_user: Some(self.build_user.to_owned()),
            ..VersionInfo::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::VERSION;

    #[test]
    fn clients_can_parse_it() {
        let numbers: Result<Vec<u32>, _> = VERSION.mesos.split('.').map(str::parse).collect();
        assert_eq!(numbers.unwrap().len(), 3);
        expect_test::expect![[r#"{"build_date":"2026-11-20 00:00:00 UTC","build_time":1795132800.0,"build_user":"mesos-rs","version":"1.12.0","mesos_rs_version":"0.1.0"}"#]]
            .assert_eq(&String::from_utf8(VERSION.document()).unwrap());
    }
}
