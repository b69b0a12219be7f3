"""Drawing and weighing with any model: plans and orders, what is known at a step, the loop over the blocks of a plan, symmetry."""
