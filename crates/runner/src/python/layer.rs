//! A job's own layer over an environment: a virtual environment that starts empty, finds everything of the
//! environment below it, and into which the job's program may install more while it runs, as in a container
//! of its own.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::Environment;

/// Bytes of a program that can be a script's starter; compiled programs are larger.
const STARTER_BYTES: u64 = 4 << 10;

/// A starter of pip in the layer: the environment's own would install into the environment.
const PIP: &str = "import sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n";

/// Writes the layer into `folder`, which the program will see at `place`.
///
/// # Errors
/// Any error of the file system.
pub fn write(environment: &Environment, folder: &Path, place: &Path) -> io::Result<()> {
    let (programs, modules) = (folder.join("bin"), folder.join(&environment.site_packages));
    fs::create_dir_all(&programs)?;
    fs::create_dir_all(&modules)?;
    let home = environment.interpreter.parent().unwrap_or(Path::new("/usr/bin"));
    let settings = format!(
        "home = {}\ninclude-system-site-packages = false\nversion = {}\n",
        home.display(),
        environment.python
    );
    fs::write(folder.join("pyvenv.cfg"), settings)?;
    for name in ["python", "python3"] {
        symlink(&environment.interpreter, programs.join(name))?;
    }
    fs::write(modules.join("_sagebrush_below.pth"), below(environment.layers.iter(), environment))?;
    let interpreter = place.join("bin/python");
    for layer in &environment.layers {
        copy_starters(&layer.join("bin"), &programs, &interpreter)?;
    }
    for name in ["pip", "pip3"] {
        starter(&programs.join(name), &interpreter, PIP)?;
    }
    Ok(())
}

/// The content of a file that makes Python look into environments too, with the `.pth` files in them.
pub fn below<'a>(layers: impl Iterator<Item = &'a std::path::PathBuf>, environment: &Environment) -> String {
    let folders = layers.map(|layer| layer.join(&environment.site_packages));
    folders
        .map(|folder| {
            let text = serde_json::Value::from(folder.to_string_lossy().into_owned());
            // A JSON string is a Python string.
            format!("import site; site.addsitedir({text})\n")
        })
        .collect()
}

fn starter(path: &Path, interpreter: &Path, text: &str) -> io::Result<()> {
    fs::write(path, format!("#!{}\n{text}", interpreter.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Copies the programs that are Python scripts, so that they too run with the layer's modules.
fn copy_starters(from: &Path, to: &Path, interpreter: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)?.flatten() {
        let target = to.join(entry.file_name());
        let size = entry.metadata()?.len();
        if !entry.file_type()?.is_file() || size > STARTER_BYTES || target.exists() {
            continue;
        }
        let mut text = String::new();
        if fs::File::open(entry.path())?.read_to_string(&mut text).is_err() {
            continue;
        }
        let rest =
            text.split_once('\n').filter(|(first, _)| first.starts_with("#!") && first.contains("python"));
        if let Some((_, rest)) = rest {
            starter(&target, interpreter, rest)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starters_run_in_the_layer() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let below = folder.path().join("below");
        fs::create_dir_all(below.join("bin"))?;
        fs::write(below.join("bin/torchrun"), "#!/below/bin/python\nimport torch\n")?;
        fs::write(below.join("bin/compiled"), [0x7f, b'E', b'L', b'F', 0xff])?;
        let environment = Environment {
            id: "0".into(),
            name: "n".into(),
            python: "3.11.2".into(),
            packages: Vec::new(),
            interpreter: "/usr/bin/python3.11".into(),
            site_packages: "lib/python3.11/site-packages".into(),
            needs: Vec::new(),
            layers: vec![below],
        };
        let layer = folder.path().join("layer");
        write(&environment, &layer, Path::new("/root/python"))?;
        let starter = fs::read_to_string(layer.join("bin/torchrun"))?;
        assert_eq!(starter, "#!/root/python/bin/python\nimport torch\n");
        assert!(!layer.join("bin/compiled").exists());
        assert_eq!(fs::read_link(layer.join("bin/python3"))?, Path::new("/usr/bin/python3.11"));
        let settings = fs::read_to_string(layer.join("pyvenv.cfg"))?;
        assert!(settings.starts_with("home = /usr/bin\n"), "{settings}");
        Ok(())
    }
}
