package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// exits are what the exit statuses mean, by command; "" is every other one.
var exits = []struct {
	command string
	status  [3]string
}{
	{"", [3]string{"done", "the command failed, or no agent answers", "the command line or the configuration is wrong"}},
	{"racoon2 run", [3]string{"the agent has ended in order", "it could not start, or has failed", "the command line or the configuration is wrong"}},
	{"racoon2 check", [3]string{"nothing to complain about, or advice alone", "there are warnings", "there are errors, or the command line is wrong"}},
	{"racoon2 config fmt", [3]string{"done", "with -l: files would change; or one could not be written", "a file cannot be read or has errors of syntax, or the command line is wrong"}},
	{"racoon2 config convert", [3]string{"everything has been converted", "something is left out, as the report says; or the result could not be written", "a file cannot be read, or the command line is wrong"}},
	{"racoon2 kink check", [3]string{"everything that was asked for is there", "something is not", "the command line or the configuration is wrong"}},
}

// exitsOf are the meanings for one command.
func exitsOf(path string) [3]string {
	for _, e := range exits {
		if e.command == path {
			return e.status
		}
	}
	return exits[0].status
}

// exitManual is the section about the exit status: in the page of the program a
// table of all commands.
func exitManual(cmd *cobra.Command) string {
	var b strings.Builder
	b.WriteString(".SH EXIT STATUS\n")
	if cmd.HasParent() {
		for status, text := range exitsOf(cmd.CommandPath()) {
			fmt.Fprintf(&b, ".TP\n.B %d\n%s\n", status, roff(text))
		}
		return b.String()
	}
	for _, e := range exits {
		name := e.command
		if name == "" {
			name = "every other command"
		}
		fmt.Fprintf(&b, ".TP\n.B %s\n", roff(name))
		for status, text := range e.status {
			fmt.Fprintf(&b, "%d: %s", status, roff(text))
			b.WriteString([]string{";\n.br\n", ";\n.br\n", ".\n"}[status])
		}
	}
	return b.String()
}

// filesManual is about files, in the page of the program.
const filesManual = `.SH FILES
.TP
.I /etc/racoon2/racoon2.conf
the configuration; see
.BR racoon2.conf (5)
.TP
.I /run/racoon2/spmif
the control socket, for the agent\(aqs user alone
.TP
.I /run/racoon2/spmd.pwd
its password, made at every start unless the configuration names one
`

// scriptsManual is about the programs that script names, in the page of run.
const scriptsManual = `.SH SCRIPTS
The programs that directive
.B script
of racoon2.conf names run with the name of the event as their only argument, in
.IR / ,
with nothing to read; what they print goes to the log. Those of one peer run one
after another. A program is killed with its process group after 30 seconds. Its
file belongs to root or to the agent\(aqs user, and nobody else may write it or a
folder above it. The environment holds these variables and no others.
.TP
.BR phase1_up ", " phase1_down ", " phase1_rekey
LOCAL_ADDR LOCAL_PORT REMOTE_ADDR REMOTE_PORT
.TP
.BR phase2_up ", " phase2_down ", " phase2_rekey
LOCAL_ADDR REMOTE_ADDR SELECTOR_INDEX IPSEC_MODE LOCAL_NET_ADDR LOCAL_NET_PREFIXLEN
LOCAL_NET_PORT REMOTE_NET_ADDR REMOTE_NET_PREFIXLEN REMOTE_NET_PORT
UPPER_LAYER_PROTOCOL; INTERNAL4_ADDR INTERNAL6_ADDR INTERNAL_ADDR where an address
was given to the peer; INTERNAL_ADDR4 INTERNAL_DNS4 INTERNAL_WINS4 INTERNAL_DHCP4
INTERNAL_ADDR6 INTERNAL_DNS6 INTERNAL_DHCP6 APPLICATION_VERSION, which the peer has
given and which are empty otherwise
.TP
.B migration
OLD_SRC OLD_DST NEW_SRC NEW_DST
.PP
Ports are numbers, 0 for any; a protocol is a number or any. A peer is up with its
first IKE SA and down with its last, and so is the traffic of a child; when one takes
the place of another, that is the event of rekeying. KINK has the phase2 events alone.
`
