package policy

import (
	"fmt"

	"racoon2/kernel/trace"
)

// The reasons that are counted.
const (
	ReasonPolicyFailed    = "policy_failed"        // the kernel refused a policy
	ReasonPolicyTakenOver = "policy_taken_over"    // the kernel had one for the same traffic
	ReasonPolicyLost      = "policy_lost"          // somebody else removed a policy of ours
	ReasonManualFailed    = "static_sa_failed"     // the kernel refused a static SA
	ReasonManualTakenOver = "static_sa_taken_over" // the kernel had one with the same SPI
	ReasonManualLost      = "static_sa_lost"       // somebody else removed a static SA
	ReasonSelectorUnused  = "selector_unused"      // a selector makes no policy
	ReasonResync          = "resync"               // kernel events were lost
	ReasonAcquire         = "acquire"              // an acquire for a selector of ours
	ReasonAcquireForeign  = "acquire_foreign"      // an acquire that no selector of ours explains
	ReasonAcquireHeld     = "acquire_held"         // an acquire while its child is under way or rests
	ReasonInitiate        = "initiate"             // a child was asked for
	ReasonInitiateFailed  = "initiate_failed"      // an engine gave up
	ReasonStartAgain      = "start_again"          // a child that is to stand is down
	ReasonNoEngine        = "initiate_no_engine"   // no engine that the selector accepts runs here
	ReasonDynamicRefused  = "dynamic_refused"      // a policy could not be added or moved at run time
	ReasonUnknownSelector = "up_selector_unknown"  // Up named none
	ReasonNotProtected    = "up_selector_no_ipsec" // Up named one that discards or bypasses
)

// trace emits an event; attrs are pairs of key and value.
func (out *Outbox) trace(tag trace.Tag, reason string, attrs []string, format string, args ...any) {
	ev := trace.Event{Tag: tag, Reason: reason, Text: fmt.Sprintf(format, args...)}
	for i := 0; i+1 < len(attrs); i += 2 {
		ev.Attrs = append(ev.Attrs, trace.Attr{Key: attrs[i], Value: attrs[i+1]})
	}
	out.Effects = append(out.Effects, Trace{ev})
}

// who are the attributes that name a selector.
func (sel *Selector) who(more ...string) []string {
	return append([]string{"selector", sel.Name, "where", sel.Where}, more...)
}
