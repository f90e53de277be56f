package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestMacros holds that each macro stands wherever an address may, with the
// interface, the prefix length and the port that may follow it, and comes back
// from the effective form as it was written.
func TestMacros(tt *testing.T) {
	for _, m := range macros {
		forms := []string{string(m)}
		if !m.Any() {
			forms = append(forms, string(m)+"%eth0", string(m)+"/24", string(m)+"%eth0/24")
		}
		for _, form := range forms {
			for _, port := range []string{"", " port 500"} {
				text := fmt.Sprintf("selector out { direction outbound; src %s%s; dst %[1]s; upper_layer_protocol udp; policy_index clear; };\npolicy clear { action none; };\n", form, port)
				if !strings.Contains(form, "/") && m != MacroRW {
					text += fmt.Sprintf("interface { ike { %s%s; }; };\n", form, port)
				}
				c, fs := one(tt, text)
				if fs.HasErrors() {
					tt.Errorf("%s%s:\n%s", form, port, report(fs))
					continue
				}
				a := c.Selectors[0].Src[0]
				if a.Kind != AddressMacro || a.String() != form || (c.Selectors[0].SrcPort == PortRange{500, 500}) != (port != "") {
					tt.Errorf("%s%s: %+v, ports %v", form, port, a, c.Selectors[0].SrcPort)
				}
				shown, _ := Show("f", Options{FS: Files{"f": text}, LookupEnv: noEnv}, true)
				if again, _ := one(tt, shown); !Diff(c, again).Empty() {
					tt.Errorf("%s%s comes back as\n%s", form, port, shown)
				}
			}
		}
	}
	for _, m := range []Macro{MacroAny, MacroRW, MacroUnspecified} {
		for _, suffix := range []string{"%eth0", "/24", "%eth0/0", "/"} {
			if _, err := parseAddress(string(m) + suffix); err == nil {
				tt.Errorf("%s%s is taken", m, suffix)
			}
		}
		if a, err := parseAddress(string(m) + "/0"); err != nil || a.String() != string(m) {
			tt.Errorf("%s/0: %v, %v", m, a, err)
		}
	}
}
