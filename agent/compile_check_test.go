package agent

import (
	"slices"
	"strings"
	"testing"

	"racoon2/ikev2"
	"racoon2/ikev2/transform"
)

// Each word of proposal_check and selector_check reaches the engine as what it says;
// with exact, extended sequence numbers that are configured are all that is offered and
// taken.
func TestCompileChecks(t *testing.T) {
	for _, c := range []struct {
		words  string
		check  ikev2.ProposalCheck
		tunnel bool // instead of transport mode
		sn     int  // alternatives with ext_sequence on
	}{
		{"", ikev2.CheckStrict, false, 2},
		{"proposal_check strict;", ikev2.CheckStrict, false, 2},
		{"proposal_check claim;", ikev2.CheckStrict, false, 2},
		{"proposal_check obey;", ikev2.CheckObey, false, 2},
		{"proposal_check exact;", ikev2.CheckExact, false, 1},
		{"selector_check exact;", ikev2.CheckStrict, false, 2},
		{"selector_check obey;", ikev2.CheckStrict, true, 2},
	} {
		text := strings.Replace(siteToSite, `pre_shared_key`, c.words+" pre_shared_key", 1)
		text = strings.Replace(text, "sa_index", "ext_sequence on; sa_index", 1)
		r := mustCompile(t, text, nil).IKEv2.Remotes[0]
		sn := r.Children[0].Proposals[0].SN
		if r.Check != c.check || r.TunnelInstead != c.tunnel || len(sn) != c.sn || !slices.Contains(sn, transform.SN_EXTENDED) {
			t.Errorf("%q: check %v, tunnel %v, sequence numbers %v", c.words, r.Check, r.TunnelInstead, sn)
		}
	}
}
