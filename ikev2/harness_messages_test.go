package ikev2

import (
	"strings"
	"testing"

	"racoon2/ikev2/message"
)

// clearAnswer is the only notification of a clear answer that was sent.
func clearAnswer(t *testing.T, p Send) *message.Notify {
	t.Helper()
	m, err := message.Decode(p.Data)
	if err != nil || len(m.Payloads) != 1 {
		t.Fatalf("no single notification: %v %+v", err, m)
	}
	n, ok := m.Payloads[0].(*message.Notify)
	if !ok || m.Flags&message.FlagResponse == 0 {
		t.Fatalf("not a notification in a response: %+v", m)
	}
	return n
}

// opened decrypts the protected datagram p with the keys of the IKE SA that
// sent it.
func opened(t *testing.T, sender *ikeSA, p Send) []message.Payload {
	t.Helper()
	data := append([]byte(nil), p.Data...)
	m, err := message.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	list, err := message.Open(data, m, sender.keys.seals)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// keepKeys copies an IKE SA's keys before it ends.
func keepKeys(sa *ikeSA) *ikeSA {
	k := *sa.keys
	return &ikeSA{keys: &k, suite: sa.suite}
}

func notifies(list []message.Payload) []message.NotifyType {
	var kinds []message.NotifyType
	for _, p := range list {
		if n, ok := p.(*message.Notify); ok {
			kinds = append(kinds, n.Kind)
		}
	}
	return kinds
}

func wantWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q does not say %q", text, w)
		}
	}
}
