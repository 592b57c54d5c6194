//! What is to be checked on this machine: the state folder, keys, the configuration, runs. Reads only.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::{Check, Is, check};
use crate::cli::runs::is_open;
use crate::cli::session::command_in;
use crate::cli::signer::KeyName;
use crate::cli::{CliError, Global, keys, session};
use crate::journal::runs;

/// Less than this is a problem: a journal that cannot be written stops the run.
const LITTLE: u64 = 16 * 1024 * 1024;
/// Less than this is worth a look.
const SCARCE: u64 = 256 * 1024 * 1024;
/// The folders that redrill makes in its state folder. A link in their place is not followed.
const FOLDERS: [&str; 3] = ["keys", "locks", "runs"];

/// Everything but the configuration.
pub fn checks(global: &Global) -> Vec<Check> {
    let mut all = folder(&global.state);
    all.push(free(&global.state));
    all.push(locks());
    all.push(signing_key(global));
    all.extend(checkpoint_key(global));
    all.push(unfinished(global));
    all
}

/// Where the configuration is, and whether it can be used.
pub fn configuration(global: &Global, wrong: Option<&CliError>) -> Check {
    let name = "configuration";
    if let Some(e) = wrong {
        return check(name, Is::Problem, e.message());
    }
    let path = global.config.as_deref().unwrap_or(Path::new("redrill.toml"));
    match path.exists() {
        true => check(name, Is::Ok, format!("{}, valid", path.display())),
        false => check(name, Is::Note, "none; ./redrill.toml would be read, or --config FILE"),
    }
}

/// The state folder itself may be a link, which is the user's choice; whoever owns it can change the journal.
fn folder(state: &Path) -> Vec<Check> {
    let name = "state folder";
    let Ok(meta) = fs::metadata(state) else {
        return match fs::symlink_metadata(state) {
            Ok(_) => vec![check(name, Is::Problem, format!("{} cannot be looked at", state.display()))],
            Err(_) => vec![check(name, Is::Note, format!("{} is made by the first run", state.display()))],
        };
    };
    let mut all = vec![owned(name, state, &meta)];
    for folder in FOLDERS {
        let path = state.join(folder);
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let found = owned(name, &path, &meta);
        if found.state != Is::Ok {
            all.push(found);
        }
    }
    all
}

fn owned(name: &'static str, path: &Path, meta: &Metadata) -> Check {
    let (shown, mode) = (path.display(), meta.permissions().mode() & 0o777);
    let own = rustix::process::geteuid().as_raw();
    if meta.is_symlink() {
        return check(name, Is::Problem, format!("{shown} is a link, and links in it are not followed"));
    }
    if !meta.is_dir() {
        return check(name, Is::Problem, format!("{shown} is no folder"));
    }
    if meta.uid() != own && own != 0 {
        return check(name, Is::Problem, format!("{shown} belongs to user {}", meta.uid()));
    }
    if rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_err() {
        return check(name, Is::Problem, format!("{shown} cannot be written to"));
    }
    if mode & 0o022 != 0 {
        let text = format!("{shown} has mode {mode:03o}: others can change what is in it; chmod 700 {shown}");
        return check(name, Is::Problem, text);
    }
    if mode & 0o055 != 0 {
        return check(name, Is::Note, format!("{shown} has mode {mode:03o}: others can look into it"));
    }
    check(name, Is::Ok, format!("{shown}, for its owner only"))
}

/// The folder of the locks that count for all state folders: without it no run begins.
fn locks() -> Check {
    let (name, folder) = ("locks", session::machine_locks());
    match fs::symlink_metadata(&folder) {
        Err(_) => check(name, Is::Ok, format!("{} is made by the first run", folder.display())),
        Ok(_) => match runs::usable(&folder) {
            Ok(()) => check(name, Is::Ok, folder.display().to_string()),
            Err(e) => check(name, Is::Problem, format!("{e}: remove it, as that user or as root")),
        },
    }
}

/// What is free where the state folder is, or will be.
fn free(state: &Path) -> Check {
    let name = "free space";
    let here = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
    let Some(stat) = here.ancestors().find_map(|a| rustix::fs::statvfs(a).ok()) else {
        return check(name, Is::NotChecked, "the file system does not tell");
    };
    let bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    let text = format!("{} MiB", bytes >> 20);
    match bytes {
        b if b < LITTLE => {
            check(name, Is::Problem, format!("{text}: a journal that cannot be written stops a run"))
        }
        b if b < SCARCE => check(name, Is::Note, text),
        _ => check(name, Is::Ok, text),
    }
}

/// The key that signs bundles.
fn signing_key(global: &Global) -> Check {
    let name = "signing key";
    let path = match KeyName::chosen(global, None) {
        Err(e) => return check(name, Is::Problem, e.message()),
        Ok(KeyName::Kms(_)) => {
            return check(name, Is::NotChecked, "in AWS KMS; `redrill publish` asks for it");
        }
        Ok(KeyName::Own) => match keys::signing_path(&global.state) {
            Ok(path) => path,
            Err(e) => return check(name, Is::Problem, e.message()),
        },
        Ok(KeyName::File(path)) => {
            return match keys::named(&path) {
                Ok(key) => check(name, Is::Ok, format!("{}, {}", path.display(), key.public().fingerprint())),
                Err(e) => check(name, Is::Problem, e.message()),
            };
        }
    };
    match keys::read(&path) {
        Ok(Some(key)) => check(name, Is::Ok, format!("{}, {}", path.display(), key.public().fingerprint())),
        Ok(None) => check(name, Is::Note, "none yet; made when it is first needed, or by: redrill init"),
        Err(e) => check(name, Is::Problem, e.message()),
    }
}

/// The key that signs while a run goes on, where the configuration names one: a run needs it.
fn checkpoint_key(global: &Global) -> Option<Check> {
    let named = global.settings.evidence.checkpoint_key.as_ref()?;
    Some(match keys::checkpoint(global) {
        Ok(key) => check("checkpoint key", Is::Ok, format!("{named}, {}", key.public().fingerprint())),
        Err(e) => check("checkpoint key", Is::Problem, e.message()),
    })
}

/// Runs that nobody has brought to an end. Whether they stand in the way depends on their targets.
fn unfinished(global: &Global) -> Check {
    let name = "runs";
    let list = match runs::list(&global.state) {
        Ok(list) => list,
        Err(e) => return check(name, Is::Problem, format!("cannot be listed: {e}")),
    };
    let under_way = list.iter().find_map(|r| Some((&r.run, r.under_way.as_ref()?)));
    if let Some((run, holder)) = under_way {
        return check(name, Is::Note, format!("{run} is under way ({})", holder.at_work()));
    }
    let open: Vec<&str> = list.iter().filter(|r| is_open(&global.state, r)).map(|r| r.run.as_str()).collect();
    match open.first() {
        None => check(name, Is::Ok, format!("{}, none unfinished", list.len())),
        Some(first) => {
            let text = format!(
                "{} of {} not finished, the first {first}: {}",
                open.len(),
                list.len(),
                command_in(global, "rollback", first, None)
            );
            check(name, Is::Note, text)
        }
    }
}
