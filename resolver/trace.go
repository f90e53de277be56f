package resolver

import (
	"fmt"

	"racoon2/kernel/trace"
)

// The reasons that are counted.
const (
	ReasonNameBad       = "name_bad"            // a name of the configuration that DNS cannot carry
	ReasonNamesChanged  = "names_changed"       // a watched name has other addresses
	ReasonNamesLimit    = "names_limit"         // a wildcard has brought in too many names
	ReasonNameAddresses = "name_addresses"      // an answer with too many addresses
	ReasonNameFailed    = "name_failed"         // a watched name could not be asked for
	ReasonNotAuthentic  = "name_not_authentic"  // an answer without AD where it is required
	ReasonGateBound     = "gate_bound"          // a policy did not stand in time
	ReasonUpstreamDown  = "upstream_down"       // an upstream is passed over
	ReasonUpstreamUp    = "upstream_up"         // it answers again
	ReasonUpstreamNone  = "upstream_none"       // there is none to ask
	ReasonRateLimit     = "client_rate_limit"   // a client asks too often
	ReasonPendingLimit  = "pending_limit"       // too many questions under way
	ReasonQueryExpired  = "query_expired"       // no upstream answered a question
	ReasonAnswerStale   = "answer_stale"        // a stale answer was given
	ReasonAnswerHints   = "answer_hints_hidden" // an answer that would lead past the gate
)

// trace emits an event; attrs are pairs of key and value.
func (out *Outbox) trace(tag trace.Tag, reason string, attrs []string, format string, args ...any) {
	ev := trace.Event{Tag: tag, Reason: reason, Text: fmt.Sprintf(format, args...)}
	for i := 0; i+1 < len(attrs); i += 2 {
		ev.Attrs = append(ev.Attrs, trace.Attr{Key: attrs[i], Value: attrs[i+1]})
	}
	out.Effects = append(out.Effects, Trace{ev})
}

func (out *Outbox) add(e Effect) { out.Effects = append(out.Effects, e) }
