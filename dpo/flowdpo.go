package dpo

func methodFlowDPO() Method {
	m := methodDPO()
	m.Name, m.Title = "flow-dpo", "Diffusion-DPO of flow models"
	m.Paper = "Liu et al., Improving Video Generation with Human Feedback, 2025, arXiv 2501.13918"
	m.Equation = "that of dpo with errors of the velocity, noise levels logit-normal"
	m.Source = "github.com/yifan123/flow_grpo, train_sd3_dpo.py"
	m.Beta = 100 // errors of velocities are larger than those of noise
	m.Flow = true
	return method(m)
}
