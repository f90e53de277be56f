package kink

import "testing"

func TestAdmits(t *testing.T) {
	r := &Remote{PeerPrincipals: []string{"kink/*.example.com@ONE.TEST", "kink/www.example.org@ONE.TEST"}}
	for principal, want := range map[string]bool{
		"kink/www.example.org@ONE.TEST":     true,
		"kink/a.example.com@ONE.TEST":       true,
		"kink/a.b.example.com@ONE.TEST":     true,
		"kink/example.com@ONE.TEST":         false,
		"kink/.example.com@ONE.TEST":        false,
		"kink/aexample.com@ONE.TEST":        false,
		"kink/a.example.com@TWO.TEST":       false,
		"host/a.example.com@ONE.TEST":       false,
		"kink/x/a.example.com@ONE.TEST":     false,
		`kink/x\@y.example.com@ONE.TEST`:    false,
		"kink/*.example.com@ONE.TEST":       true, // the name itself, which no KDC has
		"kink/x.example.org@ONE.TEST":       false,
		"kink/a.example.com@X.example.com@": false,
		"":                                  false,
	} {
		if got := r.Admits(principal); got != want {
			t.Errorf("%s: %v", principal, got)
		}
	}
	if p := r.firstPrincipal(); p != "kink/www.example.org@ONE.TEST" {
		t.Errorf("asks for %s", p)
	}
}
