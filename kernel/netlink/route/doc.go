// Package route speaks NETLINK_ROUTE (rtnetlink): links, addresses, routes and
// policy-routing rules of the network namespace in which Dial ran, and a
// Monitor that says when addresses, links or routes changed.
//
// It holds no state and makes no decisions: whatever it adds stays until its
// caller deletes it. Sources: RFC 3549 §3.1, linux/rtnetlink.h,
// linux/if_link.h, linux/fib_rules.h. Linux only; on other systems the package
// is empty. Limits: multipath routes are read as their first hop, and only the
// attributes that racoon2 uses are kept.
package route
