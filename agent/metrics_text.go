package agent

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The types of metrics.
const (
	gauge   = "gauge"
	counter = "counter"
)

// exposition writes metrics in the text format of Prometheus, version 0.0.4: for
// each family HELP and TYPE once, then its series.
type exposition struct{ b bytes.Buffer }

// series is one value of a family. Its labels are pairs of a name and a value.
type series struct {
	labels []string
	value  float64
}

// family writes one family; none where it has no series.
func (x *exposition) family(name, kind, help string, all ...series) {
	if len(all) == 0 {
		return
	}
	x.b.WriteString("# HELP " + name + " " + helpText.Replace(help) + "\n# TYPE " + name + " " + kind + "\n")
	for _, s := range all {
		x.b.WriteString(name)
		for i := 0; i+1 < len(s.labels); i += 2 {
			x.b.WriteByte(",{"[btoi(i == 0)])
			x.b.WriteString(s.labels[i] + `="` + labelText.Replace(strings.ToValidUTF8(s.labels[i+1], "\uFFFD")) + `"`)
		}
		if len(s.labels) > 0 {
			x.b.WriteByte('}')
		}
		x.b.WriteString(" " + number(s.value) + "\n")
	}
}

// The characters that the format writes in another way.
var (
	helpText  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelText = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// one is a family's only series.
func one(value float64) series { return series{value: value} }

// maxSeries bounds a family whose label comes from elsewhere; what exceeds it is
// summed up under the label's value "other".
const maxSeries = 10_000

// by makes the series of a map, with one label, in order.
func by[N ~int | ~uint64](label string, values map[string]N) []series {
	var out []series
	var rest float64
	for name, v := range values {
		out = append(out, series{[]string{label, name}, float64(v)})
	}
	slices.SortFunc(out, func(a, b series) int { return cmp.Compare(a.labels[1], b.labels[1]) })
	if len(out) > maxSeries {
		for _, s := range out[maxSeries:] {
			rest += s.value
		}
		out = append(out[:maxSeries], series{[]string{label, "other"}, rest})
	}
	return out
}
