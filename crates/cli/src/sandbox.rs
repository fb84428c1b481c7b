//! The files of a task, read from its agent piece by piece.

use std::io::Write;

use proto::mesos::v1::agent;

use crate::api::Operator;

/// What an agent gives at once.
const PIECE_BYTES: u64 = 64 << 10;

/// One file in a task's sandbox, read from where the last reading ended.
pub(crate) struct SandboxFile {
    path: String,
    offset: u64,
}

impl SandboxFile {
    /// The file `name` of the newest run of an executor.
    pub(crate) fn new(framework: &str, executor: &str, name: &str) -> Self {
        Self { path: format!("/frameworks/{framework}/executors/{executor}/runs/latest/{name}"), offset: 0 }
    }

    /// Copies what is new to `out`. A file that is not there yet is empty.
    pub(crate) async fn copy_new(
        &mut self,
        agent: &mut Operator,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        loop {
            let read = agent::call::ReadFile {
                path: self.path.clone(),
                offset: self.offset,
                length: Some(PIECE_BYTES),
            };
            let call = agent::Call {
                r#type: Some(agent::call::Type::ReadFile.into()),
                read_file: Some(read),
                ..Default::default()
            };
            let response = match agent.agent(&call).await {
                Ok(response) => response,
                Err(error) if error.to_string().contains(" 404 ") => return Ok(()),
                Err(error) => return Err(error),
            };
            let data = response.read_file.map(|read| read.data).unwrap_or_default();
            if data.is_empty() {
                out.flush()?;
                return Ok(());
            }
            self.offset += u64::try_from(data.len())?;
            out.write_all(&data)?;
        }
    }
}
