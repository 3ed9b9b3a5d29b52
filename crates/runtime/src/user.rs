//! Who the process is: the names of `User` are those of the image's own `/etc/passwd` and `/etc/group`.

use sandbox::Identity;

use crate::error::RuntimeError;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// A user of the image.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub identity: Identity,
    pub home: String,
}

/// Resolves `user`, `uid`, `user:group` or `uid:gid`; empty is root. `passwd` and `group` are the image's files, empty
/// where it has none.
pub(crate) fn resolve(text: &str, passwd: &str, group: &str) -> Result<User, RuntimeError> {
    let (user, own_group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = user.parse::<u32>().ok();
    let entry = records(passwd)
        .find(|fields| fields.first() == Some(&user) || (number.is_some() && field(fields, 2) == number));
    let id =
        entry.as_ref().and_then(|fields| field(fields, 2)).or(number).ok_or_else(|| missing("user", user, PASSWD))?;
    let primary = entry.as_ref().and_then(|fields| field(fields, 3)).unwrap_or(0);
    let (primary, groups) = match own_group.filter(|group| !group.is_empty()) {
        Some(name) => (group_id(name, group)?, Vec::new()),
        None => (primary, entry.as_ref().map_or_else(Vec::new, |fields| groups_of(fields[0], group))),
    };
    let home = entry.as_ref().and_then(|fields| fields.get(5)).filter(|home| !home.is_empty());
    let home = home.map_or(if id == 0 { "/root" } else { "/" }, |home| home).to_owned();
    Ok(User { identity: Identity { user: id, group: primary, groups }, home })
}

fn group_id(name: &str, group: &str) -> Result<u32, RuntimeError> {
    let named = records(group).find(|fields| fields.first() == Some(&name));
    named.and_then(|fields| field(&fields, 2)).or(name.parse().ok()).ok_or_else(|| missing("group", name, GROUP))
}

/// The groups that list the user.
fn groups_of(user: &str, group: &str) -> Vec<u32> {
    let lists = |fields: &Vec<&str>| fields.get(3).is_some_and(|users| users.split(',').any(|name| name == user));
    records(group).filter(lists).filter_map(|fields| field(&fields, 2)).collect()
}

fn records(file: &str) -> impl Iterator<Item = Vec<&str>> {
    file.lines().filter(|line| !line.starts_with('#') && line.contains(':')).map(|line| line.split(':').collect())
}

fn field(fields: &[&str], index: usize) -> Option<u32> {
    fields.get(index)?.parse().ok()
}

fn missing(kind: &'static str, name: &str, file: &'static str) -> RuntimeError {
    RuntimeError::NoSuchUser { kind, name: name.to_owned(), file }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str =
        "root:x:0:0:root:/root:/bin/sh\nredis:x:999:998::/var/lib/redis:/bin/false\n# no:x:1:1::/:\nbad\n";
    const GROUPS: &str = "root:x:0:\nredis:x:998:\nssl:x:110:redis,www\n";

    fn identity(text: &str) -> Option<(u32, u32, Vec<u32>)> {
        let user = resolve(text, USERS, GROUPS).ok()?.identity;
        Some((user.user, user.group, user.groups))
    }

    #[test]
    fn names_and_numbers() {
        assert_eq!(identity(""), Some((0, 0, vec![])));
        assert_eq!(identity("redis"), Some((999, 998, vec![110])));
        assert_eq!(identity("999"), Some((999, 998, vec![110])));
        assert_eq!(identity("redis:ssl"), Some((999, 110, vec![])));
        assert_eq!(identity("1234"), Some((1234, 0, vec![])));
        assert_eq!(identity("1234:5678"), Some((1234, 5678, vec![])));
        assert_eq!(identity("nobody"), None);
        assert_eq!(identity("redis:nothing"), None);
        assert_eq!(resolve("redis", USERS, GROUPS).unwrap().home, "/var/lib/redis");
        assert_eq!(resolve("", "", "").unwrap().home, "/root");
    }
}
