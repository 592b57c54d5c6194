//! Installs the emulator into the user's cache: its files and a private Python environment.
//!
//! Invariant: what [`install`] returns is whole. Files appear under their final name only when all
//! are written; an environment counts only with its `.complete` mark; an advisory lock keeps two
//! processes apart, and dies with its holder. The environment is named after its requirements, so
//! that a change of the launcher does not install anything anew.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::SandboxError;
use super::files::{self, FILES};

/// Oldest Python that the emulator's packages run on.
const OLDEST: (u32, u32) = (3, 11);
/// Names to try, in order; `REDRILL_PYTHON` comes first.
const PYTHONS: [&str; 5] = ["python3", "python3.14", "python3.13", "python3.12", "python3.11"];
/// How much of a failed program's output is shown.
const TAIL: usize = 12;

/// An installed emulator.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Folder with the emulator's files.
    pub folder: PathBuf,
    /// The Python of its private environment.
    pub python: PathBuf,
}

impl Installed {
    /// The launcher script.
    pub fn launcher(&self) -> PathBuf {
        self.folder.join(files::LAUNCHER)
    }

    /// The sample estate.
    pub fn estate(&self) -> PathBuf {
        self.folder.join(files::ESTATE)
    }
}

/// The cache folder: `REDRILL_CACHE`, else `redrill` in `XDG_CACHE_HOME` or in `~/.cache`.
///
/// # Errors
/// [`SandboxError::NoCache`] where none of them is set.
pub fn cache_folder() -> Result<PathBuf, SandboxError> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("REDRILL_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").filter(|p| p.is_absolute()).map(|p| p.join("redrill")))
        .or_else(|| set("HOME").map(|p| p.join(".cache").join("redrill")))
        .ok_or(SandboxError::NoCache)
}

/// Installs the emulator below `cache` (default: [`cache_folder`]), or finds it installed.
///
/// `progress` is told when something slow begins. The first time needs the network (pip).
///
/// # Errors
/// No usable Python, a failed pip (with its last lines), or a folder that cannot be written.
pub async fn install(
    cache: Option<&Path>,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Installed, SandboxError> {
    let named = std::env::var("REDRILL_PYTHON").ok().filter(|v| !v.is_empty());
    let pythons: Vec<&str> = match &named {
        Some(one) => vec![one.as_str()],
        None => PYTHONS.to_vec(),
    };
    let cache = cache.map_or_else(cache_folder, |c| Ok(c.to_path_buf()))?;
    install_with(&cache, &pythons, progress).await
}

async fn install_with(
    cache: &Path,
    pythons: &[&str],
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Installed, SandboxError> {
    let root = cache.join("emulator");
    fs::create_dir_all(&root).map_err(SandboxError::io(format!("cannot create {}", root.display())))?;
    // a relative path would not survive the emulator's own working folder
    let root =
        fs::canonicalize(&root).map_err(SandboxError::io(format!("cannot open {}", root.display())))?;
    let folder = root.join(files::version());
    let requirements =
        FILES.iter().find(|(name, _)| *name == files::REQUIREMENTS).map_or("", |(_, text)| text);
    let environment = root.join(format!("env-{}", files::digest([requirements])));
    let python = environment.join("bin").join("python");
    let installed = Installed { folder: folder.clone(), python };
    if files::intact(&folder) && environment.join(".complete").exists() {
        return Ok(installed);
    }
    let _lock = lock(root.join("install.lock"), progress).await?;
    unpack(&folder)?;
    if !environment.join(".complete").exists() {
        let base = usable(pythons).await?;
        build(&environment, &base, &folder.join(files::REQUIREMENTS), progress).await?;
    }
    Ok(installed)
}

/// Waits for the installation lock; it is released when the file is dropped.
async fn lock(path: PathBuf, progress: &(dyn Fn(&str) + Sync)) -> Result<File, SandboxError> {
    let failed = || SandboxError::io(format!("cannot lock {}", path.display()));
    let file = File::options().create(true).append(true).open(&path).map_err(failed())?;
    if file.try_lock().is_ok() {
        return Ok(file);
    }
    progress("waiting for another redrill that installs the emulator");
    let waited = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
    waited.unwrap_or_else(|e| Err(std::io::Error::other(e))).map_err(failed())
}

fn unpack(folder: &Path) -> Result<(), SandboxError> {
    if files::intact(folder) {
        return Ok(());
    }
    let failed = |path: &Path| SandboxError::io(format!("cannot write {}", path.display()));
    let draft = folder.with_extension("draft");
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(failed(&draft))?;
    }
    for (name, text) in FILES {
        let path = draft.join(name);
        let parent = path.parent().unwrap_or(&draft);
        fs::create_dir_all(parent).map_err(failed(parent))?;
        fs::write(&path, text).map_err(failed(&path))?;
    }
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(failed(folder))?;
    }
    fs::rename(&draft, folder).map_err(failed(folder))
}

/// The first Python that is young enough.
async fn usable(pythons: &[&str]) -> Result<String, SandboxError> {
    let mut old = None;
    for name in pythons {
        let asked = Command::new(name)
            .args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
            .stdin(Stdio::null())
            .output()
            .await;
        let Ok(answer) = asked else { continue };
        let text = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        let version = text.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        match version {
            Some(v) if v >= OLDEST => return Ok((*name).to_owned()),
            Some(_) => old = old.or(Some(text)),
            None => {}
        }
    }
    Err(match old {
        Some(found) => SandboxError::PythonTooOld { found },
        None => SandboxError::PythonMissing,
    })
}

async fn build(
    environment: &Path,
    base: &str,
    requirements: &Path,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<(), SandboxError> {
    let failed = || SandboxError::io(format!("cannot write {}", environment.display()));
    progress("installing the emulator (once, about half a minute)");
    if environment.exists() {
        fs::remove_dir_all(environment).map_err(failed())?;
    }
    let mut venv = Command::new(base);
    venv.args(["-m", "venv"]).arg(environment);
    run(venv).await?.map_err(|output| SandboxError::Venv { output })?;
    let mut pip = Command::new(environment.join("bin").join("python"));
    // the index is the environment's, the packages are ours: exactly these files, and nothing is built, which
    // would fetch what no hash stands for
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet"])
        .args(["--require-hashes", "--no-deps", "--only-binary=:all:", "-r"])
        .arg(requirements);
    run(pip).await?.map_err(|output| SandboxError::Pip { output })?;
    fs::write(environment.join(".complete"), "").map_err(failed())
}

/// Runs a program to its end; `Err` inside holds the last lines of a failed one.
async fn run(mut command: Command) -> Result<Result<(), String>, SandboxError> {
    let what = format!("cannot run {}", command.as_std().get_program().to_string_lossy());
    let done = command
        .env_remove("PYTHONPATH")
        .env_remove("PYTHONHOME")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(SandboxError::io(what))?;
    if done.status.success() {
        return Ok(Ok(()));
    }
    let text = [done.stdout, done.stderr].concat();
    Ok(Err(tail(&String::from_utf8_lossy(&text))))
}

/// The last lines of a text.
pub(super) fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(_: &str) {}

    #[cfg(unix)]
    fn script(folder: &Path, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn without_python_the_error_says_so() {
        let cache = tempfile::tempdir().unwrap();
        let error = install_with(cache.path(), &["/nonexistent/python3"], &quiet).await.unwrap_err();
        assert!(matches!(error, SandboxError::PythonMissing), "{error}");
        assert!(error.hint().unwrap().contains("REDRILL_PYTHON"));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn an_old_python_is_named() {
        let cache = tempfile::tempdir().unwrap();
        let old = script(cache.path(), "old", "#!/bin/sh\necho 3.8\n");
        let error = install_with(cache.path(), &["/nonexistent/python3", &old], &quiet).await.unwrap_err();
        assert_eq!(error.to_string(), "python 3.8 is too old: the emulator needs 3.11 or later");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_failed_pip_shows_its_last_lines_and_leaves_nothing_that_looks_whole() {
        let cache = tempfile::tempdir().unwrap();
        // stands for python3: `-c` asks for the version, `-m venv DIR` makes an environment whose pip fails
        let fake = script(
            cache.path(),
            "fake",
            "#!/bin/sh\nif [ \"$1\" = -c ]; then echo 3.12; exit; fi\nmkdir -p \"$3/bin\"\n\
             printf '#!/bin/sh\\nfor i in $(seq 30); do echo line $i; done; echo no network >&2; exit 1\\n' \
             > \"$3/bin/python\"\nchmod +x \"$3/bin/python\"\n",
        );
        for _ in 0..2 {
            let error = install_with(cache.path(), &[&fake], &quiet).await.unwrap_err();
            let SandboxError::Pip { output } = &error else { panic!("{error}") };
            assert!(output.ends_with("line 30\nno network"), "{output}");
            assert_eq!(output.lines().count(), TAIL);
        }
    }

    #[test]
    fn damaged_files_are_written_anew() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("x");
        unpack(&folder).unwrap();
        assert!(files::intact(&folder));
        fs::write(folder.join(files::LAUNCHER), "broken").unwrap();
        assert!(!files::intact(&folder));
        unpack(&folder).unwrap();
        assert!(files::intact(&folder));
    }
}
