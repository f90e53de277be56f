// Package cli is the commands of the racoon2 program: run is the agent, check
// judges a configuration, and the others ask a running agent over its control
// socket.
//
// It owns flags, messages, tables and exit statuses, and nothing else: what a
// command does is agent's or config's. Results go to standard output, messages
// to standard error. The exit status is 0 when done, 1 when something failed
// (check: there are warnings), and 2 when the command line or the configuration
// is wrong.
package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"racoon2/agent"
	"racoon2/config"
	"racoon2/policy/spmif"
)

// The exit statuses.
const (
	statusDone   = 0
	statusFailed = 1
	statusUsage  = 2 // the command line or the configuration is wrong
)

// failure is an error of a command that was asked for rightly.
type failure struct {
	status int
	err    error // nil: everything has been said
}

func (f *failure) Error() string {
	if f.err == nil {
		return ""
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// failed makes the error of a command that was asked for rightly and failed; one
// that has its status keeps it.
func failed(err error) error {
	if err == nil {
		return nil
	}
	if f := (*failure)(nil); errors.As(err, &f) {
		return err
	}
	return &failure{statusFailed, err}
}

// misused makes the error of a command whose words say nothing sensible.
func misused(format string, args ...any) error {
	return &failure{statusUsage, fmt.Errorf(format, args...)}
}

// app is what the commands of one program share.
type app struct {
	out, err io.Writer
	config   string
	socket   string
	runDir   string
	progress *progress
}

// Main runs the program and returns its exit status.
func Main(args []string, stdout, stderr io.Writer) int {
	a := &app{out: stdout, err: stderr, progress: newProgress(stderr)}
	a.progress.begin()
	defer a.progress.end()
	root := a.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	a.progress.now("")
	if err == nil {
		return statusDone
	}
	var f *failure
	if !errors.As(err, &f) {
		fmt.Fprintf(stderr, "racoon2: %v\n%sTry \"%s --help\".\n", err, meant(cmd), cmd.CommandPath())
		return statusUsage
	}
	a.explain(f)
	return f.status
}

// meant guesses at what was meant by a word that is no command: another one, or a
// configuration.
func meant(cmd *cobra.Command) string {
	word := cmd.Flags().Arg(0)
	if word == "" {
		return ""
	}
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		return fmt.Sprintf("Did you mean \"%s %s\"?\n", cmd.CommandPath(), strings.Join(near, "\", or \""+cmd.CommandPath()+" "))
	}
	if info, err := os.Stat(word); err == nil && info.Mode().IsRegular() {
		return fmt.Sprintf("Did you mean -c %s?\n", word)
	}
	return ""
}

// configFrom takes the configuration that stands as an argument, as that of -c.
func (a *app) configFrom(args []string) {
	if len(args) > 0 {
		a.config = args[0]
	}
}

// explain prints what went wrong; a configuration's findings in full.
func (a *app) explain(f *failure) {
	if c := (*agent.ConfigError)(nil); errors.As(f, &c) {
		_ = c.Findings.WithSources(config.Options{}).WriteText(a.err)
		fmt.Fprintf(a.err, "racoon2: %s cannot be used\n", c.Path)
		return
	}
	if f.err != nil {
		fmt.Fprintf(a.err, "racoon2: %s\n", plain(f.err))
	}
}

// plain is what an error says to people: of an answer of the agent, why.
func plain(err error) string {
	var reply *spmif.ReplyError
	if errors.As(err, &reply) {
		if _, why, said := strings.Cut(reply.Text, "Operation Failed, "); said && why != "" {
			return clean(why)
		}
	}
	return err.Error()
}

// atWork is what commands are at that may take their time without an agent.
var atWork = map[string]string{
	"racoon2 check":          "checking the configuration",
	"racoon2 config show":    "reading the configuration",
	"racoon2 config fmt":     "reading the configuration",
	"racoon2 config convert": "converting",
	"racoon2 config new":     "making keys",
	"racoon2 kink check":     "asking Kerberos",
}

// root builds the tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "racoon2",
		Short: "IPsec key exchange",
		Long: "racoon2 negotiates keys for IPsec (IKEv2, RFC 7296, and KINK, RFC 4430) and keeps\n" +
			"the policies of a host, as its racoon2.conf says. \"racoon2 run\" is the agent; the\n" +
			"other commands ask a running agent over its control socket.",
		SuggestionsMinimumDistance: 2,
		Example: "  racoon2 check /etc/racoon2/racoon2.conf\n" +
			"  racoon2 run -c /etc/racoon2/racoon2.conf\n" +
			"  racoon2 status",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return errors.New("a command is needed")
		},
	}
	f := root.PersistentFlags()
	f.StringVarP(&a.config, "config", "c", agent.DefaultConfig, "configuration `FILE`")
	f.StringVar(&a.socket, "socket", "", "control socket `PATH` of the agent (default: as the configuration says)")
	f.StringVar(&a.runDir, "run-dir", agent.DefaultRunDir, "`DIRECTORY` of the control socket and its password")
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) { a.progress.now(atWork[cmd.CommandPath()]) }
	root.AddCommand(a.runCommand(), a.checkCommand(), a.configCommand(), a.statusCommand(), a.saCommand(), a.kinkCommand(),
		a.policyCommand(), a.fqdnCommand(), a.nsCommand(), a.upCommand(), a.downCommand(), a.watchCommand(),
		a.pskCommand(), a.versionCommand(), a.manCommand())
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", fmt.Sprintf(".FlagUsagesWrapped %d ", width)))
	a.complete(root)
	fit(root)
	return root
}

// fit makes the help of a command and of those below it fit a terminal.
func fit(cmd *cobra.Command) {
	paragraphs := strings.Split(cmd.Long, "\n\n")
	for i, p := range paragraphs {
		if slices.ContainsFunc(strings.Split(p, "\n"), func(line string) bool { return utf8.RuneCountInString(line) > width }) {
			paragraphs[i] = strings.Join(wrap(strings.ReplaceAll(p, "\n", " "), width, 0), "\n")
		}
	}
	cmd.Long = strings.Join(paragraphs, "\n\n")
	if len("  "+cmd.UseLine()) > width {
		cmd.DisableFlagsInUseLine = true
	}
	for _, sub := range cmd.Commands() {
		fit(sub)
	}
}
