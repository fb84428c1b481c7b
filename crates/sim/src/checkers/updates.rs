//! What an agent says of updates agrees with its disk: it acknowledges to an executor only what is written, and sends
//! nothing again once it has written that the framework acknowledged it.

use std::collections::BTreeSet;

/// An executor is told that its update is in good hands.
pub(crate) fn told_executor(taken: &BTreeSet<Vec<u8>>, uuid: &[u8]) -> Result<(), String> {
    if taken.contains(uuid) {
        return Ok(());
    }
    Err(format!("an executor is told that update {} is taken, and it is not on disk", hex(uuid)))
}

/// An update is sent to the master.
pub(crate) fn sent(acknowledged: &BTreeSet<Vec<u8>>, uuid: &[u8]) -> Result<(), String> {
    if !acknowledged.contains(uuid) {
        return Ok(());
    }
    Err(format!("update {} is sent, and its acknowledgement is on disk", hex(uuid)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_promises_that_the_disk_does_not_keep() {
        let on_disk = BTreeSet::from([vec![1]]);
        assert_eq!(told_executor(&on_disk, &[1]), Ok(()));
        assert!(told_executor(&on_disk, &[2]).is_err());
        assert_eq!(sent(&on_disk, &[2]), Ok(()));
        assert!(sent(&on_disk, &[1]).is_err());
    }
}
