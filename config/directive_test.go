package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The sections of the tests' configuration: each has a list of directives with
// their values, and the parts are the blocks in which directives stand.
type draft map[string][][2]string

// newDraft is a configuration that is whole.
func newDraft() draft {
	return draft{
		"interface": {{"ike", "192.0.2.1"}, {"spmd", `unix "/s"`}}, "resolver": {}, "remote": {},
		"ikev2": {
			{"my_id", `fqdn "a.example.org"`}, {"peers_id", `fqdn "b.example.org"`}, {"peers_ipaddr", "192.0.2.2"},
			{"pre_shared_key", `"/etc/racoon2/psk"`},
		},
		"selector": {{"direction", "inbound"}, {"src", "10.2.0.0/16"}, {"dst", "10.1.0.0/16"}, {"policy_index", "tunnel"}},
		"policy":   {{"remote_index", "peer"}, {"ipsec_index", "bundle"}},
		"ipsec":    {{"sa_index", "transform"}},
		"sa":       {{"sa_protocol", "esp"}},
	}
}

// set writes a directive in a part, in place of what stands there.
func (d draft) set(part, name, val string) {
	d.unset(part, name)
	d[part] = append(d[part], [2]string{name, val})
}

func (d draft) unset(part, name string) {
	d[part] = slices.DeleteFunc(slices.Clone(d[part]), func(p [2]string) bool { return p[0] == name })
}

func (d draft) body(part string) string {
	var b strings.Builder
	for _, p := range d[part] {
		fmt.Fprintf(&b, "%s %s;\n", p[0], p[1])
	}
	return b.String()
}

// blocks writes the blocks of a remote; prefix is "default/" for those of default.
func (d draft) blocks(prefix string) string {
	var b strings.Builder
	for _, kmp := range []string{"ikev2", "ikev1", "kink"} {
		body := d.body(prefix + kmp)
		for _, inner := range []string{"provide", "eap"} {
			if list := d.body(prefix + inner); list != "" && kmp == "ikev2" {
				body += inner + " {\n" + list + "};\n"
			}
		}
		if body != "" {
			fmt.Fprintf(&b, "%s {\n%s};\n", kmp, body)
		}
	}
	return b.String()
}

func (d draft) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "interface {\n%s};\nresolver {\n%s};\n", d.body("interface"), d.body("resolver"))
	fmt.Fprintf(&b, "default {\nremote {\n%s%s};\npolicy {\n%s};\nipsec {\n%s};\nsa {\n%s};\n};\n", d.body("default/remote"), d.blocks("default/"),
		d.body("default/policy"), d.body("default/ipsec"), d.body("default/sa"))
	fmt.Fprintf(&b, "remote peer {\n%s%s};\n", d.body("remote"), d.blocks(""))
	fmt.Fprintf(&b, "selector in {\n%s};\npolicy tunnel {\n%s};\nipsec bundle {\n%s};\nsa transform {\n%s};\n",
		d.body("selector"), d.body("policy"), d.body("ipsec"), d.body("sa"))
	b.WriteString(`selector out { direction outbound; src 10.1.0.0/16; dst 10.2.0.0/16; policy_index other; };
remote second { ikev2 { my_id fqdn "a"; peers_id fqdn "c"; peers_ipaddr 192.0.2.3; pre_shared_key "/etc/racoon2/psk"; }; };
policy other { remote_index second; ipsec_index other; };
ipsec other { sa_index other; };
sa other { sa_protocol esp; };
addresspool office { 172.16.0.1 - 172.16.0.9; };
`)
	return b.String()
}

// companions are what a directive needs beside it.
func companions(d draft, part, name string) {
	switch name {
	case "xfrm_interface":
		d.set("default/policy", "if_id", "7")
	case "my_sa_ipaddr", "peers_sa_ipaddr":
		d.set("policy", "ipsec_mode", "tunnel")
	case "radius_port", "radius_secret_file":
		d.set(part, "radius_server", "192.0.2.9")
	case "peers_ipaddr":
		d.unset("ikev2", "peers_id")
	}
	if part == "ikev1" || part == "kink" {
		d.set("remote", "acceptable_kmp", "{ ikev2; "+part+"; }")
	}
	if part == "sa" || strings.HasSuffix(part, "/sa") {
		proto := "esp"
		switch {
		case strings.HasPrefix(name, "ah_"):
			proto = "ah"
		case name == "ipcomp_alg":
			proto = "ipcomp"
		}
		if name == "sa_protocol" {
			proto = "ah" // the example is another
		}
		d.set("sa", "sa_protocol", proto)
	}
}

// judge says whether a directive shows: in the model, or in a finding.
func judge(tt *testing.T, name string, before, after draft) {
	tt.Helper()
	c, _ := one(tt, before.String())
	now, fs := one(tt, after.String())
	for _, f := range fs {
		if f.Severity == Error {
			tt.Fatalf("%s in\n%s", f, after)
		}
	}
	warned := slices.ContainsFunc(fs, func(f Finding) bool {
		return f.Code == "no-effect" && strings.HasPrefix(f.Text, name+" has no effect: ") ||
			f.Code == "not-built" || f.Code == "left-out"
	})
	if !warned && Diff(c, now).Empty() {
		tt.Errorf("nothing comes of it in\n%s", after)
	}
}

// TestEveryDirective holds each row of the language, at each of its places: its
// example is read, from default too, and has an effect or is warned about.
func TestEveryDirective(tt *testing.T) {
	for _, group := range directives {
		for i := range group {
			row := &group[i]
			for p := inTop; p <= inDefault; p <<= 1 {
				if row.where&p == 0 {
					continue
				}
				part := placeNames[p]
				tt.Run(part+"/"+row.name, func(tt *testing.T) { everyPlace(tt, row, p, part) })
			}
		}
	}
}

func everyPlace(tt *testing.T, row *directive, p place, part string) {
	if row.name == "acceptable_kmp" || row.name == "ikev1" || row.name == "ikev2" || row.name == "kink" {
		return // TestAcceptable has these
	}
	x := explanationOf(p, row.name)
	if row.idle != "" && x.example == "off" {
		return // it asks for what happens without it
	}
	before, after := newDraft(), newDraft()
	for _, d := range []draft{before, after} {
		companions(d, part, row.name)
	}
	if row.name == "application_version" || row.name == "dns" || row.name == "dhcp" || row.name == "mip6_home_prefix" {
		before.set("provide", "addresspool", "office")
		after.set("provide", "addresspool", "office")
	}
	after.set(part, row.name, x.example)
	judge(tt, row.name, before, after)

	if p&(inRemote|inKMP|inPolicy|inIPsec|inSA) == 0 {
		return
	}
	inherited := newDraft()
	companions(inherited, part, row.name)
	without := newDraft()
	companions(without, part, row.name)
	inherited.unset(part, row.name)
	inherited.set("default/"+part, row.name, x.example)
	judge(tt, row.name, without, inherited)

	if p&(inIKEv1|inKINK) != 0 {
		return
	}
	// What is written counts, not what is inherited.
	own := newDraft()
	companions(own, part, row.name)
	own.set(part, row.name, x.example)
	both := newDraft()
	companions(both, part, row.name)
	both.set(part, row.name, x.example)
	if x.builtin != "" {
		both.set("default/"+part, row.name, x.builtin)
	}
	a, _ := one(tt, own.String())
	b, _ := one(tt, both.String())
	if d := changedPeer(a, b); d != "" {
		tt.Errorf("default's value overrides the section's own: %s changed", d)
	}
}

// changedPeer names what differs in the sections under test.
func changedPeer(a, b *Config) string {
	if !sameSettings(*a.Remote("peer"), *b.Remote("peer")) {
		return "the remote"
	}
	if !sameSettings(*a.Policy("tunnel"), *b.Policy("tunnel")) {
		return "the policy"
	}
	return ""
}

// TestBuiltinsAreTrue holds the built-in values that the reference tells: what
// is written out changes nothing.
func TestBuiltinsAreTrue(tt *testing.T) {
	for _, group := range directives {
		for i := range group {
			row := &group[i]
			for p := inTop; p <= inDefault; p <<= 1 {
				x := explanationOf(p, row.name)
				if row.where&p&^(inIKEv1|inKINK) == 0 || x.builtin == "" {
					continue
				}
				before, after := newDraft(), newDraft()
				for _, d := range []draft{before, after} {
					companions(d, placeNames[p], row.name)
				}
				after.set(placeNames[p], row.name, x.builtin)
				a, _ := one(tt, before.String())
				b, fs := one(tt, after.String())
				if !Diff(a, b).Empty() || fs.HasErrors() {
					tt.Errorf("%s %s is not what happens anyway: %+v\n%s", row.name, x.builtin, Diff(a, b), report(fs))
				}
			}
		}
	}
}
