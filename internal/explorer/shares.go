package explorer

import (
	"cmp"
	"slices"
	"time"

	"dicelab/internal/explorer/chart"
	"dicelab/internal/query"
)

// maxShares is the number of services that the page of a trace names above the waterfall.
const maxShares = 6

// shares adds up self time by service, in descending order.
func (e *explorer) shares(tree *query.Tree, ask traceAsk) []serviceShare {
	var out []serviceShare
	at := map[string]int{}
	total := time.Duration(0)
	tree.Walk(func(n *query.Node) bool {
		i, ok := at[n.Service]
		if !ok {
			i = len(out)
			at[n.Service] = i
			out = append(out, serviceShare{Name: clip(n.Service), Class: e.class(n.Service), Find: ask.link("", "",
				paramFind, findService(n.Service, ""))})
		}
		out[i].Spans++
		if n.Failed() {
			out[i].Errors++
		}
		out[i].self, total = addUp(out[i].self, n.SelfTime), addUp(total, n.SelfTime)
		return true
	})
	slices.SortStableFunc(out, func(a, b serviceShare) int { return cmp.Compare(b.self, a.self) })
	x := 0.0
	for i := range out {
		part := chart.Linear{To: float64(total), High: 1}.At(float64(out[i].self))
		out[i].Self, out[i].Share = duration(out[i].self), percent(part)
		out[i].X, out[i].Width = chart.Percent(x), chart.Percent(part*100)
		x += part * 100
	}
	return out
}
