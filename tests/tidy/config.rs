//! The page of settings is the code's: each setting with its flag, variable and default, and each table option, and no other.

use std::collections::BTreeMap;

use crate::none;
use crate::tree::root;

/// What is said of one setting: flag, variable, default where it is a plain one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    flag: String,
    variable: String,
    default: Option<String>,
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The part of `text` between the first `from` and the next `to` behind it.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(from)?;
    Some(rest.split_once(to)?.0)
}

/// Words without what only a flag or a page puts around them.
fn plain(text: &str) -> String {
    text.replace("--", "").replace('`', "").trim().to_owned()
}

/// The settings of `ProcessArgs`: a field of type `Option`, with `env = ".."` in its attribute and maybe `[default: ..]` in its comment.
fn settings_in_code(code: &str) -> BTreeMap<String, Setting> {
    let mut found = BTreeMap::new();
    let arguments = between(code, "struct ProcessArgs {", "\n}").unwrap_or("");
    let (mut variable, mut default) = (None, None);
    for line in arguments.lines().map(str::trim) {
        if line.starts_with("///") {
            default = between(line, "[default: ", "]").map(plain).or(default);
        } else if line.contains("env = \"") {
            variable = between(line, "env = \"", "\"").map(str::to_owned);
        } else if let Some((name, _)) = line.split_once(": Option<") {
            let name = name.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            let setting = Setting {
                flag: format!("--{}", name.replace('_', "-")),
                variable: variable.take().unwrap_or_default(),
                default: default.take(),
            };
            found.insert(name.to_owned(), setting);
        }
    }
    found
}

/// The rows of the tables below a heading, cell by cell.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, below) = page.split_once(heading).unwrap_or(("", ""));
    let part = below.split_once("\n## ").map_or(below, |(part, _)| part);
    let rows = part.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn each_setting_is_on_its_page_as_it_is_in_the_code() {
    let code = settings_in_code(&read("src/config.rs"));
    assert!(
        code.len() >= 10,
        "only {} settings were found in src/config.rs: the rule looks at nothing",
        code.len()
    );
    let page = read("docs/config.md");
    let mut complaints = Vec::new();
    let mut documented = BTreeMap::new();
    for row in rows(&page, "# Settings") {
        let [name, flag, variable, default, why] = row[..] else {
            complaints.push(format!("{row:?} has not five cells"));
            continue;
        };
        if why.is_empty() {
            complaints.push(format!("{name} has no reason"));
        }
        documented.insert(plain(name), (flag.trim_matches('`'), plain(variable), plain(default)));
    }
    for (name, setting) in &code {
        match documented.get(name) {
            None => complaints.push(format!("{name} is not on the page")),
            Some((flag, variable, default)) => {
                if *flag != setting.flag || *variable != setting.variable {
                    complaints
                        .push(format!("{name}: the page says {flag} and {variable}, the code {setting:?}"));
                }
                if setting.default.as_ref().is_some_and(|expected| expected != default) {
                    complaints
                        .push(format!("{name}: the page's default is {default}, the code's {setting:?}"));
                }
            }
        }
    }
    let gone = documented.keys().filter(|name| !code.contains_key(*name));
    complaints.extend(gone.map(|name| format!("{name} is on the page only")));
    none(&complaints, "docs/config.md is what src/config.rs takes");
}

#[test]
fn each_table_option_is_on_its_page() {
    let code = read("lake/log/src/schema/options.rs");
    let list = between(&code, "pub const OPTIONS: &[OptionSpec] = &[", "\n];")
        .expect("the list of options is there");
    let names = list.split("name: \"").skip(1).filter_map(|rest| {
        let name = rest.split('"').next()?;
        Some((name.to_owned(), between(rest, "default: \"", "\"")?.to_owned()))
    });
    let names: BTreeMap<String, String> = names.collect();
    assert!(!names.is_empty(), "no option was found: the rule looks at nothing");
    let page = read("docs/config.md");
    let documented: BTreeMap<String, String> = rows(&page, "## Table options")
        .into_iter()
        .filter_map(|row| Some((plain(row.first()?), plain(row.get(2)?))))
        .collect();
    assert_eq!(documented, names, "docs/config.md lists each table option with its default");
}

#[test]
fn settings_are_read_with_their_variables_and_defaults() {
    let code = "pub struct ProcessArgs {\n    /// Where to listen [default: 127.0.0.1:7777]\n    #[arg(long, env = \"FRAZIL_LISTEN\")]\n    \
                pub listen: Option<String>,\n    /// A thing\n    #[arg(long, env = \"FRAZIL_A_B\")]\n    pub(crate) a_b: Option<u8>,\n}\n";
    let setting = |flag: &str, variable: &str, default: Option<&str>| Setting {
        flag: flag.to_owned(),
        variable: variable.to_owned(),
        default: default.map(str::to_owned),
    };
    let found = settings_in_code(code);
    let listen = setting("--listen", "FRAZIL_LISTEN", Some("127.0.0.1:7777"));
    assert_eq!(found.get("listen"), Some(&listen));
    assert_eq!(found.get("a_b"), Some(&setting("--a-b", "FRAZIL_A_B", None)));
}
