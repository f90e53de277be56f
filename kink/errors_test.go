package kink

import (
	"strings"
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kink/message"
)

// Every Kerberos error that a responder sends, as its peer sees it and acts on it.
func TestKerberosErrors(t *testing.T) {
	for _, c := range []struct {
		code  KRBCode
		keyed bool // the session's key is known, so that the error is authenticated
		fresh bool // the initiator has another ticket, once
	}{
		{KRB_AP_ERR_NOKEY, false, true},
		{KRB_AP_ERR_BADKEYVER, false, true},
		{KRB_AP_ERR_MODIFIED, false, true},
		{KRB_AP_ERR_BAD_INTEGRITY, false, true},
		{KRB_AP_ERR_NOT_US, false, false},
		{KRB_AP_ERR_BADMATCH, false, false},
		{KRB_AP_ERR_TKT_EXPIRED, true, true},
		{KRB_AP_ERR_TKT_NYV, true, false},
		{KRB_AP_ERR_SKEW, true, false}, // with the responder's time, which helps once
	} {
		t.Run(c.code.String(), func(t *testing.T) {
			w, a, b := pairOfHosts(t)
			b.krb.refuse, b.krb.keyed = &KRBError{Code: c.code}, c.keyed
			w.create(a)
			if n := len(a.failures); !c.keyed && n != 0 {
				t.Error("an error that is not authenticated ends the transaction")
			}
			w.pass(3 * time.Minute)
			tickets := map[string]bool{}
			for _, p := range w.sent {
				m, err := message.Decode(p.Data)
				if err != nil {
					t.Fatal(err)
				}
				if m.Type == message.CREATE {
					tickets[ticketIn(t, m)] = true
				}
				if m.Type != message.REPLY {
					continue
				}
				said := saidIn(t, m.Payloads)
				if c.keyed {
					said = w.inside(a, m)
				}
				if said != c.code.String() || (len(m.Checksum) > 0) != c.keyed {
					t.Errorf("the answer is %q with a checksum of %d octets", said, len(m.Checksum))
				}
			}
			if len(a.failures) != 1 || !strings.Contains(a.failures[0].Reason, c.code.String()) {
				t.Errorf("failures: %v", a.failures)
			}
			if want := map[bool]int{false: 1, true: 2}[c.fresh]; len(tickets) != want {
				t.Errorf("%d tickets were tried, want %d", len(tickets), want)
			}
			w.wantPairs(0)
			b.krb.refuse = nil
			w.create(a)
			w.pass(time.Minute)
			w.wantPairs(1)
		})
	}
}

// RFC 4430 §3.4: a replay is answered with nothing.
func TestRepeatIsSilence(t *testing.T) {
	w, a, b := pairOfHosts(t)
	b.krb.refuse, b.krb.keyed = &KRBError{Code: KRB_AP_ERR_REPEAT}, true
	w.create(a)
	w.pass(time.Minute)
	if strings.Contains(w.ladder(), "b > a") {
		t.Errorf("ladder:\n%s", w.ladder())
	}
	if len(a.failures) != 1 {
		t.Errorf("failures: %v", a.failures)
	}
}

// Every KINK_ERROR of a peer that is authentic ends the transaction with its name,
// but for KINK_OK, which is as if it were absent.
func TestKINKErrors(t *testing.T) {
	for code := message.KINK_OK; code <= message.KINK_U2UDENIED+1; code++ {
		t.Run(code.String(), func(t *testing.T) {
			w, a, _ := pairOfHosts(t)
			w.filter = func(p Send) []Send {
				if p.Remote.Addr() != a.addr {
					return []Send{p}
				}
				return []Send{w.answerWith(p, a, code)}
			}
			w.create(a)
			w.filter = nil
			if code == message.KINK_OK {
				w.pass(time.Minute)
				w.wantPairs(1)
				return
			}
			if len(a.failures) != 1 || !strings.Contains(a.failures[0].Reason, "the peer answers "+code.String()) {
				t.Errorf("failures: %v", a.failures)
			}
			if n := a.e.Counters()["child_sas"]; n != 0 {
				t.Errorf("%d pairs", n)
			}
			w.pass(time.Minute)
			w.create(a)
			w.pass(time.Minute)
			w.wantPairs(1)
		})
	}
}

// A kernel that gives the responder no SA is an internal error to the initiator.
func TestInternalErrorIsSaid(t *testing.T) {
	w, a, b := pairOfHosts(t)
	b.kernel.Fail(kernel.AddSA{}, kernel.ErrUnsupported)
	w.create(a)
	if len(a.failures) != 1 || !strings.Contains(a.failures[0].Reason, "KINK_INTERR") {
		t.Errorf("failures: %v\n%s", a.failures, w.ladder())
	}
	w.wantPairs(0)
}

// ticketIn names the ticket of a command.
func ticketIn(t *testing.T, m *message.Message) string {
	t.Helper()
	for _, p := range m.Payloads {
		if req, ok := p.(message.APReq); ok {
			id, _, _ := strings.Cut(string(req.Octets), `"CTime"`)
			return id
		}
	}
	t.Fatalf("%v has no AP-REQ", m)
	return ""
}

// inside is the error in a REPLY that a can open.
func (w *world) inside(a *node, m *message.Message) string {
	w.t.Helper()
	for _, key := range w.realm.keys {
		s := &testSession{key: key}
		if inner, err := open(m, s); err == nil && s.VerifyMIC(m.Signed(), m.Checksum) == nil {
			return saidIn(w.t, inner)
		}
	}
	w.t.Fatalf("%s has no key for %v", a.name, m)
	return ""
}

// answerWith is a REPLY with a KINK_ERROR instead of what it has inside, or beside
// it where that changes nothing.
func (w *world) answerWith(p Send, a *node, code message.ErrorCode) Send {
	w.t.Helper()
	m, err := message.Decode(p.Data)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &testSession{key: a.krb.cache[principal("b")].key}
	inner := []message.Payload{message.Error{Code: code}}
	if code == message.KINK_OK {
		old, err := open(m, s)
		if err != nil {
			w.t.Fatal(err)
		}
		inner = append(inner, old...)
	}
	m.Payloads = m.Payloads[:1]
	if p.Data, err = seal(m, inner, s); err != nil {
		w.t.Fatal(err)
	}
	return p
}
