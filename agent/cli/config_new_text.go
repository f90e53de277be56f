package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"racoon2/config"
)

// pairText is the configuration of one end, which is used from place.
func pairText(mine, theirs newEnd, mode string, auth *newAuth, place string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s, %s mode to %s\n\n", mine.name, mode, theirs.name)
	fmt.Fprintf(&b, "remote %s {\n", theirs.name)
	block := "ikev2"
	if auth.kind == authKINK {
		block = "kink"
	}
	fmt.Fprintf(&b, "\tacceptable_kmp %s;\n\t%s {\n", block, block)
	for _, line := range auth.lines(mine, theirs, place) {
		fmt.Fprintf(&b, "\t\t%s;\n", line)
	}
	fmt.Fprintf(&b, "\t\tpeers_ipaddr %s;\n\t};\n};\n", theirs.addr)
	for i, pair := range trafficPairs(mine, theirs) {
		number := ""
		if i > 0 {
			number = fmt.Sprint("_", i+1)
		}
		for _, s := range []struct{ suffix, direction, src, dst string }{
			{"_out", "outbound", pair[0], pair[1]}, {"_in", "inbound", pair[1], pair[0]},
		} {
			fmt.Fprintf(&b, "\nselector %s%s%s {\n\tdirection %s;\n\tsrc %s;\n\tdst %s;\n\tpolicy_index %s;\n};\n",
				theirs.name, s.suffix, number, s.direction, s.src, s.dst, theirs.name)
		}
	}
	fmt.Fprintf(&b, "\npolicy %s {\n\taction auto_ipsec;\n\tremote_index %s;\n\tipsec_mode %s;\n", theirs.name, theirs.name, mode)
	if mode == "tunnel" {
		fmt.Fprintf(&b, "\tmy_sa_ipaddr %s;\n\tpeers_sa_ipaddr %s;\n", mine.addr, theirs.addr)
	}
	b.WriteString("};\n")
	return b.String()
}

// checkPair refuses a configuration about which there is anything to say; of
// one with certificates, which this version cannot use, only errors count.
func checkPair(text, auth string) error {
	_, findings := config.Load("racoon2.conf", config.Options{
		FS: config.Files{"racoon2.conf": text}, LookupEnv: func(string) (string, bool) { return "", false },
	})
	for _, f := range findings {
		if auth != authCert || f.Severity == config.Error {
			return fmt.Errorf("these ends make no good configuration: %s", f)
		}
	}
	return nil
}

// printPair tells what was written and what to do with it.
func (a *app) printPair(f newFlags, from, to newEnd, auth *newAuth, files []newFile) error {
	var paths []string
	for _, w := range files {
		paths = append(paths, w.path)
	}
	if f.json {
		return a.printJSON(struct {
			Files []string `json:"files"`
		}{paths})
	}
	if err := a.print(strings.Join(paths, "\n") + "\n"); err != nil {
		return failed(err)
	}
	where := f.place
	if where == "" {
		where = "the same path"
	}
	_, err := fmt.Fprintf(a.err, "%sBring the directory %s to %s as %s, and %s to %s; then, on both:\n  racoon2 check -c FILE\n  racoon2 run -c FILE\n",
		auth.advice(f.out, from, to), filepath.Join(f.out, from.name), from.name, where, filepath.Join(f.out, to.name), to.name)
	return failed(err)
}
