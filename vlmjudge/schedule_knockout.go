package vlmjudge

import "context"

// knockout lets the first meet the last, the second the last but one, and so on; losers are out. The first ones pass the first round where the
// number is no power of two. The losers of the semifinals meet, too.
func knockout(ctx context.Context, c *contest) error {
	alive := append([]int(nil), c.start...)
	for len(alive) > 1 {
		free := 0
		if full := 1 << log2(len(alive)); full != len(alive) {
			free = full - len(alive)
		}
		next, playing := append([]int(nil), alive[:free]...), alive[free:]
		var pairs [][2]int
		for k := range len(playing) / 2 {
			pairs = append(pairs, [2]int{playing[k], playing[len(playing)-1-k]})
		}
		if err := c.compare(ctx, pairs...); err != nil {
			return err
		}
		var lost []int
		for _, p := range pairs {
			if !c.better(p[0], p[1]) {
				p[0], p[1] = p[1], p[0]
			}
			next, lost = append(next, p[0]), append(lost, p[1])
		}
		if len(alive) == 4 {
			if err := c.compare(ctx, [2]int{lost[0], lost[1]}); err != nil {
				return err
			}
		}
		alive = next
	}
	return nil
}
