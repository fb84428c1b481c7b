//! Only the newest epoch writes the registry.

/// The commits that were taken.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) commits: u64,
}

impl Registry {
    /// The store took a commit.
    pub(crate) fn committed(&mut self, epoch: u64, newest: u64) -> Result<(), String> {
        self.commits += 1;
        if epoch == newest {
            return Ok(());
        }
        Err(format!("a commit of epoch {epoch} was taken after epoch {newest} had begun"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_a_deposed_leader_write() {
        let mut registry = Registry::default();
        assert_eq!(registry.committed(2, 2), Ok(()));
        assert!(registry.committed(1, 2).is_err());
    }
}
