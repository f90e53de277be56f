package ikev2

import (
	"flag"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"racoon2/ikev2/message"
)

var update = flag.Bool("update", false, "rewrite TRANSITIONS.md")

// transitionsHead stands above the table in the documentation.
const transitionsHead = "# What may happen in an IKE SA\n\n" +
	"One row for each message that is allowed in a state, in the order in which rows are tried; a message\n" +
	"that no row allows is refused before any handler runs. Notifications, Vendor IDs, certificates and the\n" +
	"Configuration payload may stand in every message. `go test ./ikev2 -run TransitionTable -update` prints\n" +
	"this file from `table.go`.\n\n```\n"

// The printed table is the one in force.
func TestTransitionTableIsUpToDate(t *testing.T) {
	const file = "TRANSITIONS.md"
	got := transitionsHead + TransitionTable() + "```\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not the table in force; run go test ./ikev2 -run TransitionTable -update\n%s", file, got)
	}
}

// Each row names the handler that it has.
func TestRowsNameTheirHandlers(t *testing.T) {
	for _, r := range transitions() {
		name := runtime.FuncForPC(reflect.ValueOf(r.handler).Pointer()).Name()
		if !strings.HasSuffix(name, "."+r.name) {
			t.Errorf("row %s %s has handler %s, named %s", r.state, r.exchange, name, r.name)
		}
		for _, p := range r.required {
			if slices.Contains(r.optional, p) && p != message.PayloadNotify {
				t.Errorf("row %s: %s is required and optional", r.name, p)
			}
		}
	}
}

// The table refuses what does not belong.
func TestLookUp(t *testing.T) {
	sa, ke, nonce := &message.SA{}, &message.KE{}, &message.Nonce{}
	tsi, tsr := &message.TS{Initiator: true}, &message.TS{}
	cases := []struct {
		name     string
		state    state
		exchange message.ExchangeType
		response bool
		list     []message.Payload
		want     string // handler, or what is wrong
	}{
		{"init", stateIdle, message.IKE_SA_INIT, false, []message.Payload{sa, ke, nonce}, "initRequest"},
		{"init with vendor IDs", stateIdle, message.IKE_SA_INIT, false, []message.Payload{sa, ke, nonce, &message.VendorID{}, &message.VendorID{}}, "initRequest"},
		{"init with an unknown payload", stateIdle, message.IKE_SA_INIT, false, []message.Payload{sa, &message.Unknown{Kind: 99}, ke, nonce}, "initRequest"},
		{"init without nonce", stateIdle, message.IKE_SA_INIT, false, []message.Payload{sa, ke}, "is missing"},
		{"init with two nonces", stateIdle, message.IKE_SA_INIT, false, []message.Payload{sa, ke, nonce, nonce}, "occurs twice"},
		{"init with EAP", stateIdle, message.IKE_SA_INIT, false, []message.Payload{sa, ke, nonce, &message.EAP{}}, "does not belong"},
		{"auth in half-open without AUTH", stateHalfOpen, message.IKE_AUTH, false, []message.Payload{&message.ID{Initiator: true}, sa, tsi, tsr}, "authWithoutAuth"},
		{"child before auth", stateHalfOpen, message.CREATE_CHILD_SA, false, []message.Payload{sa, nonce, tsi, tsr}, "no CREATE_CHILD_SA request is expected in state HALF_OPEN"},
		{"delete before auth", stateHalfOpen, message.INFORMATIONAL, false, []message.Payload{&message.Delete{}}, "no INFORMATIONAL request"},
		{"auth twice", stateEstablished, message.IKE_AUTH, false, nil, "no IKE_AUTH request"},
		{"child", stateEstablished, message.CREATE_CHILD_SA, false, []message.Payload{sa, nonce, tsi, tsr}, "childRequest"},
		{"IKE rekeying", stateEstablished, message.CREATE_CHILD_SA, false, []message.Payload{sa, nonce, ke}, "rekeyRequest"},
		{"life", stateEstablished, message.INFORMATIONAL, false, nil, "informRequest"},
		{"refused child", stateEstablished, message.CREATE_CHILD_SA, true, []message.Payload{&message.Notify{}}, "createRefused"},
		{"child of a replaced one", stateRekeyed, message.CREATE_CHILD_SA, false, []message.Payload{sa, nonce, tsi, tsr}, "refuseTemporarily"},
	}
	for _, c := range cases {
		m := &received{Header: message.Header{Exchange: c.exchange}, payloads: c.list}
		if c.response {
			m.Flags = message.FlagResponse
		}
		got := ""
		if r, why := lookUp(transitions(), c.state, m); r != nil {
			got = r.name
		} else {
			got = why
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
