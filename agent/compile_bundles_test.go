package agent

import (
	"slices"
	"strings"
	"testing"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// AH, and IPComp beside ESP or AH, go into the child and into the SPD's entries;
// what cannot stand in one entry is left out with words.
func TestCompileBundles(t *testing.T) {
	const sections = `
ipsec with_comp { sa_index { esp; small; }; };
ipsec ah_comp { sa_index { small; ah; }; };
ipsec ah { sa_index { ah; }; };
ipsec both { sa_index { esp; ah; }; };
sa ah { sa_protocol ah; ah_auth_alg { hmac_sha2_512; }; };
sa small { sa_protocol ipcomp; ipcomp_alg { deflate; }; };
`
	for _, c := range []struct {
		index  string
		kernel *kernel.Capabilities
		bundle []kernel.Protocol // nil: nothing is compiled
		comp   []transform.COMP
		words  string
	}{
		{"with_comp", nil, []kernel.Protocol{kernel.IPComp, kernel.ESP}, []transform.COMP{transform.COMP_DEFLATE}, ""},
		{"ah_comp", nil, []kernel.Protocol{kernel.IPComp, kernel.AH}, []transform.COMP{transform.COMP_DEFLATE}, ""},
		{"{ ah; both; }", nil, []kernel.Protocol{kernel.AH}, nil, ""},
		{"{ esp; ah; }", nil, []kernel.Protocol{kernel.ESP}, nil, `leaves ipsec "ah" out: its protocols are not those of "esp"`},
		{"{ both; esp; }", nil, []kernel.Protocol{kernel.ESP}, nil, ""},
		{"ah", &kernel.Capabilities{MaxReplay: 4096, ESN: true}, nil, nil, "this kernel has no AH"},
		{"with_comp", &kernel.Capabilities{MaxReplay: 4096, ESN: true}, nil, nil, "this kernel has no IPComp"},
		{"with_comp", &kernel.Capabilities{MaxReplay: 4096, ESN: true, Comp: []transform.COMP{transform.COMP_DEFLATE}}, nil, nil, "this kernel has no policies with several transforms"},
	} {
		text := strings.Replace(siteToSite, "ipsec_index esp;", "ipsec_index "+c.index+";", 1) + sections
		compiled, findings := compileText(t, text, func(o *CompileOptions) { o.Kernel = c.kernel })
		var said strings.Builder
		_ = findings.WriteText(&said)
		if !strings.Contains(said.String(), c.words) {
			t.Errorf("%s: says\n%s", c.index, said.String())
		}
		if (compiled != nil) != (c.bundle != nil) {
			t.Errorf("%s: compiled %v:\n%s", c.index, compiled != nil, said.String())
		}
		if compiled == nil || c.bundle == nil {
			continue
		}
		child := compiled.IKEv2.Remotes[0].Children[0]
		if sel := compiled.Policy.Selectors[0]; !slices.Equal(sel.Bundle, c.bundle) || !slices.Equal(child.Comp, c.comp) {
			t.Errorf("%s: bundle %v, IPComp %v", c.index, sel.Bundle, child.Comp)
		}
		if want := c.bundle[len(c.bundle)-1]; child.Proposals[0].Protocol != want || (len(child.Proposals[0].Encr) == 0) != (want == kernel.AH) {
			t.Errorf("%s: proposals %+v", c.index, child.Proposals)
		}
	}
}
