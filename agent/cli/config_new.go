package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// newFlags are the flags of config new.
type newFlags struct {
	from, to, mode, auth, out, place, realm string
	myNets, peerNets                        []string
	json                                    bool
}

func (a *app) configNewCommand() *cobra.Command {
	var f newFlags
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Write a pair of configurations for a new tunnel",
		Long: "Write the configurations of both ends of a new tunnel, with what they need to\n" +
			"authenticate. Each end gets a directory under --out, named as it is, with its\n" +
			"racoon2.conf and its keys; all files are for their owner alone, and none that is\n" +
			"there is overwritten. An end is an address or NAME@ADDRESS; a name is its identity.\n\n" +
			"--auth psk makes a fresh pre-shared key of 256 bits. --auth kink is for Kerberos:\n" +
			"the ends are kink/NAME@REALM, and what to do at the KDC is printed. --auth cert\n" +
			"makes a certification authority and a certificate for each end (ECDSA P-256); this\n" +
			"version cannot authenticate with certificates yet, and says so.\n\n" +
			"Configurations name their keys by path: --place says from where they will be used\n" +
			"on their hosts; without it they work where they are written. On a terminal, what\n" +
			"is missing is asked for.",
		Example: "  racoon2 config new --from osaka@192.0.2.2 --to tokyo@192.0.2.1 \\\n" +
			"      --my-net 10.2.0.0/24 --peer-net 10.1.0.0/24 --place /etc/racoon2\n" +
			"  racoon2 config new --from 192.0.2.2 --to 192.0.2.1 --mode transport --out pair\n" +
			"  racoon2 config new --from osaka.example.org@192.0.2.2 \\\n" +
			"      --to tokyo.example.org@192.0.2.1 --auth kink --realm EXAMPLE.ORG",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in, ok := terminal(cmd.InOrStdin()); ok {
				f.ask(bufio.NewReader(in), a.err)
			}
			return a.newPair(f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "", "this `END`: an address, or NAME@ADDRESS")
	flags.StringVar(&f.to, "to", "", "the other `END`")
	flags.StringSliceVar(&f.myNets, "my-net", nil, "`NETWORK` behind --from; may be repeated")
	flags.StringSliceVar(&f.peerNets, "peer-net", nil, "`NETWORK` behind --to; may be repeated")
	flags.StringVar(&f.mode, "mode", "", "tunnel or transport (default: tunnel with networks, transport without)")
	flags.StringVar(&f.auth, "auth", "", "how the ends authenticate: psk, kink or cert (default: psk)")
	flags.StringVar(&f.realm, "realm", "", "Kerberos `REALM` of --auth kink")
	flags.StringVar(&f.out, "out", ".", "`DIRECTORY` to write to")
	flags.StringVar(&f.place, "place", "", "`DIRECTORY` that each configuration will be used from on its host")
	flags.BoolVar(&f.json, "json", false, "print a JSON object with the files written")
	return cmd
}

// terminal says whether somebody can be asked.
func terminal(in io.Reader) (io.Reader, bool) {
	f, ok := in.(*os.File)
	if !ok {
		return in, false
	}
	info, err := f.Stat()
	return f, err == nil && info.Mode()&os.ModeCharDevice != 0
}

// ask fills in what is missing.
func (f *newFlags) ask(in *bufio.Reader, out io.Writer) {
	if f.from != "" && f.to != "" {
		return
	}
	question := func(text string) string {
		fmt.Fprint(out, text+": ")
		line, err := in.ReadString('\n')
		if err != nil {
			fmt.Fprintln(out)
		}
		return strings.TrimSpace(line)
	}
	if f.from == "" {
		f.from = question("This end, as ADDRESS or NAME@ADDRESS")
	}
	if f.to == "" {
		f.to = question("The other end, as ADDRESS or NAME@ADDRESS")
	}
	if f.auth == "" {
		f.auth = question("How they authenticate: psk, kink or cert (psk)")
	}
	if f.auth == authKINK && f.realm == "" {
		f.realm = question("The Kerberos realm, as EXAMPLE.ORG")
	}
	if f.mode == "transport" || len(f.myNets)+len(f.peerNets) > 0 {
		return
	}
	list := func(text string) []string {
		return strings.FieldsFunc(question(text), func(r rune) bool { return r == ',' || r == ' ' })
	}
	f.myNets = list("Networks behind this end (none: the host itself)")
	f.peerNets = list("Networks behind the other end (none: the host itself)")
}

// newEnd is one end of a new tunnel.
type newEnd struct {
	name string
	id   string // as my_id and peers_id take it
	addr netip.Addr
	nets []netip.Prefix
}

// parseEnd reads ADDRESS or NAME@ADDRESS.
func parseEnd(flag, s string, nets []string) (newEnd, error) {
	name, text, named := strings.Cut(s, "@")
	if !named {
		name, text = "", s
	}
	addr, err := netip.ParseAddr(text)
	switch {
	case s == "":
		return newEnd{}, fmt.Errorf("%s is needed: an address, or NAME@ADDRESS", flag)
	case err != nil || addr.Zone() != "" || addr.Is4In6() || addr.IsUnspecified() || addr.IsMulticast():
		return newEnd{}, fmt.Errorf("%s: %q is not the address of a host", flag, text)
	case named && !goodName(name):
		return newEnd{}, fmt.Errorf("%s: %q is not a name: letters, digits, dots and hyphens make one", flag, name)
	}
	e := newEnd{name: name, id: fmt.Sprintf("fqdn %q", name), addr: addr}
	if !named {
		e.name, e.id = addr.String(), "ipaddr "+addr.String()
	}
	for _, n := range nets {
		p, err := netip.ParsePrefix(n)
		if err != nil || p != p.Masked() || p.Addr().Is4In6() {
			return newEnd{}, fmt.Errorf("%q is not a network: write it as in 10.1.0.0/24", n)
		}
		e.nets = append(e.nets, p)
	}
	return e, nil
}

// goodName says whether a name can be an identity, a section and a directory.
func goodName(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '.' && s[0] != '-' &&
		strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789.-_") == ""
}

// newPair writes the pair.
func (a *app) newPair(f newFlags) error {
	from, err := parseEnd("--from", f.from, f.myNets)
	if err != nil {
		return err
	}
	to, err := parseEnd("--to", f.to, f.peerNets)
	if err != nil {
		return err
	}
	mode, err := f.checkMode(from, to)
	if err != nil {
		return err
	}
	auth, err := f.newAuth(from, to)
	if err != nil {
		return err
	}
	files := auth.common
	for _, pair := range [][2]newEnd{{from, to}, {to, from}} {
		mine, theirs := pair[0], pair[1]
		dir := filepath.Join(f.out, mine.name)
		place, err := placeOf(dir, f.place)
		if err != nil {
			return failed(err)
		}
		text := pairText(mine, theirs, mode, auth, place)
		if err := checkPair(text, auth.kind); err != nil {
			return err
		}
		files = append(files, newFile{filepath.Join(dir, "racoon2.conf"), []byte(text)})
		for _, key := range auth.keys(mine, theirs) {
			files = append(files, newFile{filepath.Join(dir, key.path), key.data})
		}
	}
	err = writeNew(files)
	for _, w := range files {
		clear(w.data)
	}
	if err != nil {
		return failed(err)
	}
	return a.printPair(f, from, to, auth, files)
}

// checkMode returns the mode, or why the flags don't fit together.
func (f *newFlags) checkMode(from, to newEnd) (string, error) {
	nets := len(from.nets)+len(to.nets) > 0
	mode := f.mode
	if mode == "" {
		mode = "transport"
		if nets {
			mode = "tunnel"
		}
	}
	switch {
	case mode != "tunnel" && mode != "transport":
		return "", errors.New("--mode is tunnel or transport")
	case mode == "transport" && nets:
		return "", errors.New("transport mode is between the hosts themselves: networks need --mode tunnel")
	case from.name == to.name || from.addr == to.addr:
		return "", errors.New("--from and --to are the same")
	case from.addr.Is4() != to.addr.Is4():
		return "", errors.New("--from and --to are of different families")
	case len(trafficPairs(from, to)) == 0:
		return "", errors.New("no network of --my-net has the family of one of --peer-net")
	}
	return mode, nil
}

// trafficPairs are the pairs of networks of one family.
func trafficPairs(mine, theirs newEnd) [][2]string {
	var out [][2]string
	for _, m := range mine.traffic() {
		for _, t := range theirs.traffic() {
			if m.Addr().Is4() == t.Addr().Is4() {
				out = append(out, [2]string{prefixText(m), prefixText(t)})
			}
		}
	}
	return out
}

// traffic are the networks of an end, or the end itself.
func (e newEnd) traffic() []netip.Prefix {
	if len(e.nets) > 0 {
		return e.nets
	}
	return []netip.Prefix{netip.PrefixFrom(e.addr, e.addr.BitLen())}
}

func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
