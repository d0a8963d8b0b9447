//! Files that are read and written by hand.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

/// The text of a file; `-` is standard input.
pub(crate) fn read(path: &str) -> Result<String> {
    if path == "-" {
        io::read_to_string(io::stdin()).context("standard input cannot be read")
    } else {
        fs::read_to_string(path).with_context(|| format!("{path} cannot be read"))
    }
}

/// Refuses to overwrite what is there.
pub(crate) fn ensure_free(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(anyhow!(
            "{} exists already; give another name, or --force to overwrite it",
            path.display()
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be looked at", path.display())),
    }
}

/// Writes a file that only its owner may read, all of it or nothing.
pub(crate) fn write(path: &Path, text: &str, force: bool) -> Result<()> {
    let failed = || format!("{} cannot be written", path.display());
    let draft = draft_beside(path).with_context(failed)?;
    write_draft(&draft, text)
        .with_context(|| format!("{} cannot be written", draft.display()))
        .with_context(failed)?;
    let placed = if force {
        fs::rename(&draft, path)
    } else {
        place(&draft, path)
    };
    // After a rename there is no draft any more; after a link, or a failure,
    // it is of no use to anybody.
    let _ = fs::remove_file(&draft);
    if !force && placed.is_err() {
        ensure_free(path)?;
    }
    placed.with_context(failed)
}

fn draft_beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(ErrorKind::IsADirectory)?;
    let mut draft = std::ffi::OsString::from(".");
    draft.push(name);
    draft.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(draft))
}

fn write_draft(draft: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Gives the draft its name, unless something has that name: a link fails
/// where a rename would overwrite. On a file system without links, looking
/// first has to do.
fn place(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        Err(_) if fs::symlink_metadata(path).is_ok() => Err(ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(draft, path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("steward-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<String> = fs::read_dir(&self.0)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn writes_for_the_owner_only_and_leaves_no_draft() {
        let directory = Directory::new("owner");
        let path = directory.0.join("plan.json");
        write(&path, "one", false).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(directory.names(), ["plan.json"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn overwrites_only_when_forced() {
        let directory = Directory::new("force");
        let path = directory.0.join("plan.json");
        write(&path, "one", false).unwrap();
        assert!(ensure_free(&path).is_err());
        let error = write(&path, "two", false).unwrap_err();
        assert!(format!("{error:#}").contains("exists already"), "{error:#}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        write(&path, "two", true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(directory.names(), ["plan.json"]);
    }

    #[test]
    fn names_the_file_that_cannot_be_written() {
        let directory = Directory::new("missing");
        let path = directory.0.join("nowhere").join("plan.json");
        let error = format!("{:#}", write(&path, "one", false).unwrap_err());
        assert!(error.contains("plan.json cannot be written"), "{error}");
        assert!(error.contains("No such file"), "{error}");
    }
}
