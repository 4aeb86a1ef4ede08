//! `sagebrush access-key` and `sagebrush policy`: who may use a server, and for what. Both work on the data
//! folder, with its server running or not.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sagebrush_access::{IdentityFile, KeyStatus, Owner, Records};
use sagebrush_auth::policy::{Policy, PolicyKind, managed_policies, managed_policy};
use sagebrush_env::Clock;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::data_dir::read_credentials;

/// Options that every command here has.
#[derive(clap::Args)]
pub struct Folder {
    /// The server's data folder.
    #[arg(long, global = true, default_value = "sagebrush-data", env = "SAGEBRUSH_DATA_DIR")]
    data_dir: PathBuf,
}

impl Folder {
    fn file(&self) -> anyhow::Result<IdentityFile> {
        if !self.data_dir.is_dir() {
            bail!(
                "there is no data folder {}: start a server with sagebrush serve, or name its folder with --data-dir",
                self.data_dir.display()
            );
        }
        Ok(IdentityFile::of(&self.data_dir))
    }
}

/// Options of `sagebrush access-key`.
#[derive(clap::Args)]
#[command(
    after_help = "A key is of a user, and does what the user's policies allow. Changes hold from the next request on,
also while the server runs. The key of DATA_DIR/credentials may do everything and is not listed as a user's.

Examples:
  sagebrush access-key create alice --policy AmazonS3ReadOnlyAccess
  sagebrush access-key create trainer --policy ./trainer-policy.json
  sagebrush access-key disable AKIAEXAMPLE
  sagebrush access-key list"
)]
pub struct AccessKeyArgs {
    #[command(flatten)]
    folder: Folder,
    #[command(subcommand)]
    command: AccessKeyCommand,
}

#[derive(clap::Subcommand)]
enum AccessKeyCommand {
    /// Make a key for a user (the user too, when there is none) and print it: the secret is shown once.
    Create {
        /// Name of the user.
        user: String,
        /// Attach a policy: a managed one's name (see `sagebrush policy list`) or a file with a document.
        #[arg(long, value_name = "NAME|FILE")]
        policy: Vec<String>,
        /// How the key is printed.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// List the keys, of all users or of one.
    List {
        /// Name of the user.
        user: Option<String>,
    },
    /// Refuse a key until it is enabled again. Its sessions end.
    Disable {
        /// The access key id.
        key: String,
    },
    /// Let a disabled key in again.
    Enable {
        /// The access key id.
        key: String,
    },
    /// Remove a key for good, and its user when nothing else is left of it.
    Delete {
        /// The access key id.
        key: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people, and for ~/.aws/credentials.
    Text,
    /// Shell commands that set it.
    Env,
    /// As CreateAccessKey of the AWS CLI prints it.
    Json,
}

/// Options of `sagebrush policy`.
#[derive(clap::Args)]
#[command(
    after_help = "A policy is an IAM policy document (JSON). Nothing is allowed that no policy allows, and a Deny wins.

Examples:
  sagebrush policy list
  sagebrush policy attach alice AmazonSageMakerFullAccess
  sagebrush policy attach alice ./only-my-bucket.json
  sagebrush policy detach alice only-my-bucket
  sagebrush policy show alice"
)]
pub struct PolicyArgs {
    #[command(flatten)]
    folder: Folder,
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(clap::Subcommand)]
enum PolicyCommand {
    /// List the managed policies, which every server has.
    List,
    /// Attach a policy to a user: a managed one's name, or a file with a document.
    Attach {
        /// Name of the user.
        user: String,
        /// Name of a managed policy, or a file.
        #[arg(value_name = "NAME|FILE")]
        policy: String,
        /// Name of the policy from a file; the file's name without its ending when not given.
        #[arg(long)]
        name: Option<String>,
    },
    /// Take a policy away from a user.
    Detach {
        /// Name of the user.
        user: String,
        /// Name of the policy.
        policy: String,
    },
    /// Print a user's policies, or the document of one (a managed one's with `-` as the user).
    Show {
        /// Name of the user.
        user: String,
        /// Name of the policy.
        policy: Option<String>,
    },
}

/// Runs `sagebrush access-key`.
pub fn run_access_key(args: &AccessKeyArgs) -> anyhow::Result<()> {
    let file = args.folder.file()?;
    match &args.command {
        AccessKeyCommand::Create { user, policy, format } => create(&file, user, policy, *format),
        AccessKeyCommand::List { user } => list(&file, &args.folder.data_dir, user.as_deref()),
        AccessKeyCommand::Disable { key } => {
            set_status(&file, &args.folder.data_dir, key, KeyStatus::Inactive)
        }
        AccessKeyCommand::Enable { key } => set_status(&file, &args.folder.data_dir, key, KeyStatus::Active),
        AccessKeyCommand::Delete { key } => delete(&file, &args.folder.data_dir, key),
    }
}

/// Runs `sagebrush policy`.
pub fn run_policy(args: &PolicyArgs) -> anyhow::Result<()> {
    match &args.command {
        PolicyCommand::List => {
            for policy in managed_policies() {
                print(&format!("{:<28}{}\n", policy.name, policy.description))?;
            }
            Ok(())
        }
        PolicyCommand::Attach { user, policy, name } => {
            let policy = Attached::read(policy, name.as_deref())?;
            args.folder.file()?.change(|records| policy.attach(records, user))?;
            eprintln!("attached {} to {user}", policy.name());
            Ok(())
        }
        PolicyCommand::Detach { user, policy } => {
            args.folder.file()?.change(|records| {
                let owner = Owner::User(user);
                if records.policies(owner)?.inline.contains_key(policy) {
                    records.delete_policy(owner, policy)
                } else {
                    records.detach_policy(owner, policy)
                }
            })?;
            eprintln!("detached {policy} from {user}");
            Ok(())
        }
        PolicyCommand::Show { user, policy } => show(&args.folder, user, policy.as_deref()),
    }
}

/// A policy to attach, read and checked before anything is changed.
enum Attached {
    Managed(&'static str),
    Inline { name: String, document: String },
}

impl Attached {
    fn read(text: &str, name: Option<&str>) -> anyhow::Result<Self> {
        if let (Some(managed), None) = (managed_policy(text), name) {
            return Ok(Self::Managed(managed.name));
        }
        let path = Path::new(text);
        if !path.exists() {
            bail!("'{text}' is neither a managed policy (see sagebrush policy list) nor a file");
        }
        let document = std::fs::read_to_string(path).with_context(|| format!("{text} cannot be read"))?;
        Policy::read(&document, PolicyKind::Identity).with_context(|| format!("{text} is not a policy"))?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self::Inline { name: name.map_or(stem, str::to_owned), document })
    }

    fn name(&self) -> &str {
        match self {
            Self::Managed(name) => name,
            Self::Inline { name, .. } => name,
        }
    }

    fn attach(&self, records: &mut Records, user: &str) -> Result<(), sagebrush_access::IdentityFailure> {
        match self {
            Self::Managed(name) => records.attach_policy(Owner::User(user), name),
            Self::Inline { name, document } => records.put_policy(Owner::User(user), name, document),
        }
    }
}

fn create(file: &IdentityFile, user: &str, policies: &[String], format: Format) -> anyhow::Result<()> {
    let policies: Vec<Attached> =
        policies.iter().map(|policy| Attached::read(policy, None)).collect::<Result<_, _>>()?;
    let now = Clock::system().now().unix_timestamp();
    let (key, may) = file.change(|records| {
        if !records.users.contains_key(user) {
            records.create_user(user, now)?;
        }
        for policy in &policies {
            policy.attach(records, user)?;
        }
        let key = records.create_access_key(user, now)?;
        Ok((key, !records.policies(Owner::User(user))?.is_empty()))
    })?;
    let (id, secret) = (&key.id, key.secret.expose());
    print(&match format {
        Format::Text => format!("[{user}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"),
        Format::Env => format!(
            "export AWS_ACCESS_KEY_ID='{id}'\nexport AWS_SECRET_ACCESS_KEY='{secret}'\nunset AWS_SESSION_TOKEN AWS_PROFILE\n"
        ),
        Format::Json => format!(
            "{{\"AccessKey\": {{\"UserName\": \"{user}\", \"AccessKeyId\": \"{id}\", \"Status\": \"Active\", \"SecretAccessKey\": \"{secret}\"}}}}\n"
        ),
    })?;
    eprintln!("this is the only time the secret is shown; keep it");
    if !may {
        eprintln!("{user} has no policy yet and may do nothing: sagebrush policy attach {user} NAME|FILE");
    }
    Ok(())
}

fn list(file: &IdentityFile, root: &Path, user: Option<&str>) -> anyhow::Result<()> {
    let records = file.read()?;
    if let Some(user) = user {
        records.user(user)?;
    }
    print(&format!("{:<22}{:<10}{:<22}{:<24}POLICIES\n", "ACCESS KEY", "STATUS", "CREATED", "USER"))?;
    if let (None, Ok(first)) = (user, read_credentials(root)) {
        print(&format!(
            "{:<22}{:<10}{:<22}{:<24}AdministratorAccess\n",
            first.id, "Active", "", "(first key)"
        ))?;
    }
    for (id, key) in records.access_keys.iter().filter(|(_, key)| user.is_none_or(|user| key.user == user)) {
        let created =
            OffsetDateTime::from_unix_timestamp(key.created).ok().and_then(|at| at.format(&Rfc3339).ok());
        let policies = records.policies(Owner::User(&key.user))?;
        let names: Vec<&str> =
            policies.attached.iter().chain(policies.inline.keys()).map(String::as_str).collect();
        print(&format!(
            "{id:<22}{:<10}{:<22}{:<24}{}\n",
            key.status.name(),
            created.unwrap_or_default(),
            key.user,
            if names.is_empty() { "(none: may do nothing)".to_owned() } else { names.join(", ") }
        ))?;
    }
    Ok(())
}

fn refuse_first_key(root: &Path, key: &str) -> anyhow::Result<()> {
    if read_credentials(root).is_ok_and(|first| first.id == key) {
        bail!(
            "{key} is the first key, which belongs to the data folder. To replace it, stop the server, remove {} and start it again",
            root.join("credentials").display()
        );
    }
    Ok(())
}

fn set_status(file: &IdentityFile, root: &Path, key: &str, status: KeyStatus) -> anyhow::Result<()> {
    refuse_first_key(root, key)?;
    file.change(|records| records.set_key_status(key, None, status))?;
    eprintln!("{key} is {}", status.name().to_lowercase());
    Ok(())
}

fn delete(file: &IdentityFile, root: &Path, key: &str) -> anyhow::Result<()> {
    refuse_first_key(root, key)?;
    let (user, gone) = file.change(|records| {
        let user = records.access_keys.get(key).map(|record| record.user.clone()).unwrap_or_default();
        records.delete_access_key(key, None)?;
        // A user with policies stays: it may get another key.
        let gone = records.delete_user(&user).is_ok();
        Ok((user, gone))
    })?;
    eprintln!("deleted {key}{}", if gone { format!(" and its user {user}") } else { String::new() });
    Ok(())
}

fn show(folder: &Folder, user: &str, policy: Option<&str>) -> anyhow::Result<()> {
    let managed = |name: &str| managed_policy(name).map(|managed| managed.document.to_owned());
    if user == "-" {
        let name = policy.context("name the managed policy: sagebrush policy show - NAME")?;
        let document = managed(name).with_context(|| format!("{name} is not a managed policy"))?;
        return print(&pretty(&document));
    }
    let records = folder.file()?.read()?;
    let policies = records.policies(Owner::User(user))?;
    let Some(name) = policy else {
        for name in &policies.attached {
            print(&format!("{name} (managed)\n"))?;
        }
        for name in policies.inline.keys() {
            print(&format!("{name}\n"))?;
        }
        return Ok(());
    };
    let attached = policies.attached.contains(name).then(|| managed(name)).flatten();
    let document = policies.inline.get(name).cloned().or(attached);
    print(&pretty(&document.with_context(|| format!("{user} has no policy {name}"))?))
}

fn pretty(document: &str) -> String {
    let value: Result<serde_json::Value, _> = serde_json::from_str(document);
    value.map_or_else(|_| document.to_owned(), |value| format!("{value:#}\n"))
}

/// Prints; a reader that has gone is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
