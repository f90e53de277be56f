package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"racoon2/config"
)

// The shell completes names of the configuration, which needs no agent, and the
// words of flags.

// completed are the commands whose first word is a name of the configuration.
var completed = map[string]func(*config.Config) []string{
	"up":            outboundNames,
	"down":          outboundNames,
	"sa show":       saNames,
	"sa flush":      remoteNames,
	"policy add":    selectorNames,
	"policy delete": selectorNames,
}

func remoteNames(c *config.Config) (names []string) {
	for _, r := range c.Remotes {
		names = append(names, r.Name)
	}
	return names
}

func selectorNames(c *config.Config) (names []string) {
	for _, s := range c.Selectors {
		names = append(names, s.Name)
	}
	return names
}

// outboundNames are the selectors that have child SAs.
func outboundNames(c *config.Config) (names []string) {
	for _, s := range c.Selectors {
		if s.Direction == config.Outbound {
			names = append(names, s.Name)
		}
	}
	return names
}

func saNames(c *config.Config) []string { return append(remoteNames(c), outboundNames(c)...) }

// completedFlags are the flags that take one of some words.
var completedFlags = map[string]map[string][]string{
	"run": {
		"kernel": {"auto", "xfrm", "userspace"}, "log-level": {"debug", "info", "warning", "error"},
		"log-format": {"text", "json"},
	},
	"check":          {"kernel": {"auto", "xfrm", "userspace"}},
	"config convert": {"from": {"racoon", "swanctl", "ipsec"}},
	"config new":     {"mode": {"tunnel", "transport"}, "auth": {"psk", "kink", "cert"}},
	"psk generate":   {"format": {"base64", "hex"}},
}

// directiveNames are the words of racoon2.conf.
func directiveNames() []string {
	var names []string
	for _, d := range config.Directives() {
		names = append(names, d.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// complete has the shell complete what the tables say. A command or flag that
// there is not is a mistake in the tables.
func (a *app) complete(root *cobra.Command) {
	for path, names := range completed {
		find(root, path).ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			c, _ := config.Load(a.config, config.Options{})
			if len(args) > 0 || c == nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			list := names(c)
			slices.Sort(list)
			return slices.Compact(list), cobra.ShellCompDirectiveNoFileComp
		}
	}
	find(root, "config explain").ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return directiveNames(), cobra.ShellCompDirectiveNoFileComp
	}
	for path, flags := range completedFlags {
		for name, words := range flags {
			err := find(root, path).RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
			if err != nil {
				panic(err)
			}
		}
	}
}

// find is the command of that path below root.
func find(root *cobra.Command, path string) *cobra.Command {
	cmd, rest, err := root.Find(strings.Fields(path))
	if err != nil || len(rest) > 0 {
		panic("no command " + path)
	}
	return cmd
}
