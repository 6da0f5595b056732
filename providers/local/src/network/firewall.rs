//! Hosts that forward nothing by default, as Docker leaves them: a way through for the bridge.
//!
//! A chain that drops wins over every other that accepts, so the only way is a
//! rule in that very chain. Only rules that carry our mark are ever deleted.

use crate::tools::{Tool, ToolError, Tools};

const CHAIN: [&str; 3] = ["ip", "filter", "FORWARD"];

/// Lets the bridge's packets through, where this computer forwards none by default.
pub(super) fn open(tools: &Tools, bridge: &str) -> Result<(), ToolError> {
    let Some(rules) = list(tools)? else {
        return Ok(());
    };
    if !drops(&rules) || !handles(&rules, bridge).is_empty() {
        return Ok(());
    }
    let mut commands = String::new();
    for side in ["iifname", "oifname"] {
        commands += &format!(
            "insert rule {} {side} \"{bridge}\" counter accept comment \"{bridge}\"\n",
            CHAIN.join(" ")
        );
    }
    tools.feed(Tool::Nft, ["-f", "-"], &commands).map(drop)
}

/// Takes back what [`open`] added.
pub(super) fn close(tools: &Tools, bridge: &str) -> Result<(), ToolError> {
    let Some(rules) = list(tools)? else {
        return Ok(());
    };
    let commands: String = handles(&rules, bridge)
        .iter()
        .map(|handle| format!("delete rule {} handle {handle}\n", CHAIN.join(" ")))
        .collect();
    if commands.is_empty() {
        return Ok(());
    }
    tools.feed(Tool::Nft, ["-f", "-"], &commands).map(drop)
}

/// Returns the chain as text; `None` when this computer has none.
fn list(tools: &Tools) -> Result<Option<String>, ToolError> {
    let [family, table, chain] = CHAIN;
    match tools.run(Tool::Nft, ["-a", "list", "chain", family, table, chain]) {
        Ok(rules) => Ok(Some(rules)),
        Err(ToolError::Failed { .. }) => Ok(None),
        Err(error @ (ToolError::Missing { .. } | ToolError::Run { .. })) => Err(error),
    }
}

fn drops(rules: &str) -> bool {
    rules.lines().any(|line| {
        line.trim_start().starts_with("type filter hook forward") && line.contains("policy drop")
    })
}

fn handles<'r>(rules: &'r str, bridge: &str) -> Vec<&'r str> {
    let mark = format!("comment \"{bridge}\"");
    rules
        .lines()
        .filter(|line| line.contains(&mark))
        .filter_map(|line| {
            line.rsplit_once("# handle ")
                .map(|(_, handle)| handle.trim())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"table ip filter {
	chain FORWARD { # handle 1
		type filter hook forward priority filter; policy drop;
		iifname "meshvm-aabbcc" counter packets 0 bytes 0 accept comment "meshvm-aabbcc" # handle 7
		oifname "meshvm-aabbcc" counter packets 0 bytes 0 accept comment "meshvm-aabbcc" # handle 6
		oifname "docker0" counter packets 0 bytes 0 jump DOCKER # handle 4
	}
}
"#;

    #[test]
    fn only_our_rules_are_ours() {
        assert!(drops(RULES));
        assert!(!drops(&RULES.replace("policy drop", "policy accept")));
        assert_eq!(handles(RULES, "meshvm-aabbcc"), ["7", "6"]);
        assert_eq!(handles(RULES, "meshvm-aabbcd"), [""; 0]);
        assert_eq!(handles(RULES, "docker0"), [""; 0]);
    }
}
